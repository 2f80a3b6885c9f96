//! The lab's world, as the configuration of a real `mailward` describes it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use mailward_lab::dns::ask::{Flags, ask};
use mailward_lab::{World, WorldOptions};

use crate::command::{Ran, mailward, run_command, skip};

/// A world at the time on the wall: the binary has no other clock.
pub fn world() -> World {
    World::start(&WorldOptions { now: Timestamp::now(), ..WorldOptions::default() }).unwrap()
}

/// What the world looks like to a product: `[dns]`, `[tls]`, `[outside]`, and a store of its own.
pub fn configuration(world: &World) -> String {
    configuration_with(world, world.resolver, "validate")
}

pub fn configuration_with(world: &World, resolver: SocketAddr, dnssec: &str) -> String {
    format!(
        "[store]\nurl = \"sqlite:{directory}/mailward.db\"\n\
         [dns]\nservers = [\"{resolver}\"]\ndnssec = \"{dnssec}\"\ntrust_anchor = \"{anchor}\"\n\
         [tls]\nextra_roots = [\"{roots}\"]\n\
         [outside]\nhelo = \"mailward.test\"\nsmtp_port = {smtp}\nhttps_port = {https}\n\
         allow_private_addresses = true\n",
        directory = world.directory.display(),
        anchor = world.trust_anchor.display(),
        roots = world.root_pem.display(),
        smtp = world.smtp_port,
        https = world.https_port,
    )
}

/// Runs a command in a world whose configuration file is `mailward.toml` of its directory.
#[track_caller]
pub fn in_world<S: AsRef<std::ffi::OsStr>>(world: &World, arguments: &[S]) -> Ran {
    in_directory(&world.directory, arguments)
}

#[track_caller]
pub fn in_directory<S: AsRef<std::ffi::OsStr>>(directory: &Path, arguments: &[S]) -> Ran {
    run_command(mailward().current_dir(directory).args(arguments), b"")
}

/// A world with its configuration written.
pub fn configured() -> World {
    let world = world();
    std::fs::write(world.directory.join("mailward.toml"), configuration(&world)).unwrap();
    world
}

/// A process that is ended by its id when the test ends, however that ends.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real unbound that validates from the world's anchor. `None` where it is not installed.
pub fn unbound(world: &World) -> Option<(Ended, SocketAddr)> {
    let listen = SocketAddr::from((world.address(), 20_153));
    unbound_at(world, listen, "").map(|unbound| (unbound, listen))
}

/// The same at this address, with more of configuration.
pub fn unbound_at(world: &World, listen: SocketAddr, more: &str) -> Option<Ended> {
    let Some(program) = ["/usr/sbin/unbound", "/usr/bin/unbound"].into_iter().find(|p| Path::new(p).exists())
    else {
        skip("unbound is not installed");
        return None;
    };
    let conf = world.directory.join("unbound.conf");
    std::fs::write(&conf, world.unbound_conf(listen) + more).unwrap();
    let log = std::fs::File::create(world.directory.join("unbound.log")).unwrap();
    let mut command = Command::new(program);
    command.arg("-d").arg("-c").arg(&conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let unbound = Ended(command.spawn().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    crate::wait::until("unbound answers", 20, || {
        runtime.block_on(ask(listen, "test", "SOA", Flags::default())).is_ok()
    });
    Some(unbound)
}
