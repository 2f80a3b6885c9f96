//! Frames, connections and sockets.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mailward_duty::StopSignal;
use mailward_sending::Policyd;
use mailward_sending::policyd::Listen;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout};

use super::house::{Client, House, frame, secure};

#[tokio::test(flavor = "multi_thread")]
async fn requests_may_come_together_or_in_pieces() {
    let house = House::start().await;
    house.domain("a.test");
    let mut client = Client::connect(house.node.address).await;
    let several = [frame("mailward x.test"), frame("mailward a.test"), frame("nonsense")].concat();
    client.send(&several).await;
    assert_eq!(client.read().await.unwrap(), "NOTFOUND ");
    assert_eq!(client.read().await.unwrap(), secure("mx.a.test"));
    assert!(client.read().await.unwrap().starts_with("PERM "));
    for byte in frame("mailward a.test") {
        client.send(&[byte]).await;
    }
    assert_eq!(client.read().await.unwrap(), secure("mx.a.test"));
    let thousand = frame("mailward a.test").repeat(1000);
    client.send(&thousand).await;
    for _ in 0..1000 {
        assert_eq!(client.read().await.unwrap(), secure("mx.a.test"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_netstring_closes_and_odd_keys_do_not() {
    let house = House::start().await;
    for (bytes, why) in [
        (&b"abc"[..], "no digits"),
        (b"05:a b,", "a leading zero"),
        (b"3:a b;", "no comma"),
        (b"999999999:", "too long"),
        (b"10001:", "one above the limit"),
        (b":,", "no length"),
    ] {
        let mut client = Client::connect(house.node.address).await;
        client.send(bytes).await;
        let closed = timeout(Duration::from_secs(5), client.read()).await;
        assert_eq!(closed.expect("closed at once"), None, "{why}");
    }
    let mut client = Client::connect(house.node.address).await;
    let longest = format!("mailward {}", "x".repeat(10_000 - 9));
    for key in
        [longest.as_str(), "mailward a b", "mailward a\0.test", "mailward \u{1f600}", "mailward a..test"]
    {
        assert_eq!(client.ask(key).await, "NOTFOUND ", "{key:?}");
    }
    client.send(b"13:mailward \xff\xfe\xfd.,").await;
    assert_eq!(client.read().await.unwrap(), "NOTFOUND ");
}

/// More connections than there are places: the surplus waits in the kernel, those who are in are served.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_pause_accepting() {
    let house = House::start().await;
    house.domain("a.test");
    let listen = [Listen::Tcp("127.0.0.1:0".parse().unwrap())];
    let policyd = Policyd::bind(&listen, house.node.policies.clone()).await.unwrap().with_connections(8);
    let address = policyd.addresses()[0].parse().unwrap();
    let running = tokio::spawn(policyd.run(house.node.stop.clone()));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(address).await;
        assert_eq!(client.ask("mailward a.test").await, secure("mx.a.test"));
        clients.push(client);
    }
    let mut ninth = Client::connect(address).await;
    ninth.send(&frame("mailward a.test")).await;
    assert!(timeout(Duration::from_millis(300), ninth.read()).await.is_err(), "not accepted yet");
    for client in &mut clients {
        assert_eq!(client.ask("mailward a.test").await, secure("mx.a.test"));
    }
    clients.pop();
    assert_eq!(ninth.read().await.unwrap(), secure("mx.a.test"));
    running.abort();
}

/// Postfix is silent for a hundred seconds at most; the limit is 150, and a shorter one here.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_let_go_and_who_asks_is_not() {
    const IDLE: Duration = Duration::from_secs(1);
    let house = House::start().await;
    let listen = [Listen::Tcp("127.0.0.1:0".parse().unwrap())];
    let policyd = Policyd::bind(&listen, house.node.policies.clone()).await.unwrap().with_idle(IDLE);
    let address = policyd.addresses()[0].parse().unwrap();
    let running = tokio::spawn(policyd.run(house.node.stop.clone()));
    let mut client = Client::connect(address).await;
    let begun = Instant::now();
    let mut last = begun;
    while begun.elapsed() < 2 * IDLE {
        last = Instant::now();
        assert!(client.ask("nonsense").await.starts_with("PERM "));
    }
    let closed = timeout(20 * IDLE, client.read()).await;
    assert_eq!(closed.expect("closed"), None);
    assert!(last.elapsed() >= IDLE, "{:?}", last.elapsed());
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_left_behind_is_replaced_and_a_used_one_is_not() {
    let house = House::start().await;
    house.domain("a.test");
    let path = house.directory.path().join("policyd.sock");
    let listen = [Listen::Unix { path: path.clone(), mode: 0o660, group: None }];
    let policies = || house.node.policies.clone();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind");
    let policyd = Policyd::bind(&listen, policies()).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let error = Policyd::bind(&listen, policies()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
    let (signal, stop) = StopSignal::new();
    let running = tokio::spawn(policyd.run(stop));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(&frame("mailward a.test")).await.unwrap();
    let mut answer = vec![0; frame(&secure("mx.a.test")).len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, frame(&secure("mx.a.test")));
    // An idle connection does not hold the end up, and the file goes with the server.
    let begun = Instant::now();
    signal.stop();
    running.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(!path.exists());
    std::fs::write(&path, "not a socket").unwrap();
    let error = Policyd::bind(&listen, policies()).await.unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert!(path.exists(), "what is not ours is not removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_under_way_are_answered_before_the_end() {
    let mut house = House::start().await;
    house.domain("a.test");
    house.world.policy_hosts.set_answer("mta-sts.a.test", mailward_lab::Answer::Hang);
    let mut client = Client::connect(house.node.address).await;
    client.send(&frame("mailward a.test")).await;
    super::house::eventually("the fetch has begun", async || house.fetches("a.test") == 1).await;
    let begun = Instant::now();
    let answered = async {
        assert_eq!(client.read().await, Some("NOTFOUND ".to_owned()));
        assert_eq!(client.read().await, None);
    };
    tokio::join!(house.node.end(), answered);
    assert!(begun.elapsed() < Duration::from_secs(15));
}
