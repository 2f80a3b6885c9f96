//! The large world is what it says, for its first domain and its last; and how fast it answers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use mailward_lab::dns::ask::{Flags, ask};
use mailward_lab::scenario::{Outcome, SenderSpec, Shape};
use mailward_lab::{Security, World, WorldOptions};

fn spec(domain: &str) -> SenderSpec {
    SenderSpec { domain: domain.into(), organization: "Sender".into(), shape: Shape::Plain, signs: false }
}

#[tokio::test]
async fn every_domain_is_in_order() {
    for security in [Security::Unsigned, Security::Signed] {
        let world = World::bench_with(130, security, &WorldOptions::default()).unwrap();
        let mut sender = world.sender(&spec("sender.test")).unwrap();
        for number in [0, 63, 64, 129] {
            let domain = World::bench_domain(number);
            let delivery = sender.deliver(&domain, 1).await;
            assert_eq!(delivery.outcome, Outcome::Delivered, "{domain}");
            assert!(delivery.failures.is_empty() && delivery.policy.is_some(), "{domain}");
            let flags = Flags { dnssec_ok: true, checking_disabled: false };
            let reply = ask(world.resolver, &domain, "MX", flags).await.unwrap();
            assert_eq!(reply.authentic, security == Security::Signed, "{domain}");
        }
    }
}

/// By hand: `cargo test --release -p mailward-lab --test bench -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, and asserts nothing"]
async fn speed() {
    const DOMAINS: usize = 4000;
    const TASKS: usize = 32;
    let begin = tokio::time::Instant::now();
    let world = Arc::new(World::bench(DOMAINS).unwrap());
    println!("world of {DOMAINS} domains: {:?}", begin.elapsed());
    for round in ["first", "second"] {
        let begin = tokio::time::Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let mut sender = world.sender(&spec(&format!("s{task}.test"))).unwrap();
                    for number in (task..DOMAINS).step_by(TASKS) {
                        sender.deliver(&World::bench_domain(number), 1).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "{round} round, 4 questions, a fetch and a delivery each: {:.0}/s",
            DOMAINS as f64 / seconds
        );
    }
    let begin = tokio::time::Instant::now();
    let before = world.dns.questions();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let resolver = world.resolver;
            tokio::spawn(async move {
                for number in (task..DOMAINS).step_by(TASKS) {
                    for rtype in ["MX", "TXT", "A", "AAAA"] {
                        ask(resolver, &World::bench_domain(number), rtype, Flags::default()).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let asked = world.dns.questions() - before;
    println!("questions alone, a new socket each: {:.0}/s", asked as f64 / begin.elapsed().as_secs_f64());
}
