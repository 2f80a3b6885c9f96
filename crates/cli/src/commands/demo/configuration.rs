//! The configuration of every mailward in a world, also written to a file so that commands can be tried on it.

use std::path::{Path, PathBuf};

use mailward_lab::scenario::{House, Stage};

use crate::config::{self, Config};
use crate::exit::{Failure, Result};

/// Where the dashboard listens when nobody else does; with organisations, that of the second.
const DASHBOARDS: [&str; 2] = ["127.0.0.1:8460", "127.0.0.1:8470"];

/// One mailward that is to be started.
pub struct Written {
    /// Whose it is, when there are several.
    pub domain: Option<String>,
    /// The configuration.
    pub config: Config,
    /// Its file.
    pub file: PathBuf,
}

/// Those of all houses of a stage; without houses, one that only receives, and answers Postfix.
///
/// # Errors
/// When a file cannot be written.
pub fn write(stage: &Stage, once: bool) -> Result<Vec<Written>> {
    let root = &stage.world.directory;
    if stage.houses.is_empty() {
        let policyd = policyd(&root.join("policyd.sock"));
        return Ok(vec![put(root, None, &(receiving(stage, root, once, 0) + &policyd))?]);
    }
    let one = |(number, house): (usize, &House)| {
        let text = receiving(stage, &house.directory, once, number) + &sending(house);
        put(&house.directory, Some(house.domain.clone()), &text)
    };
    stage.houses.iter().enumerate().map(one).collect()
}

fn put(directory: &Path, domain: Option<String>, text: &str) -> Result<Written> {
    let file = directory.join("mailward.toml");
    let written =
        std::fs::create_dir_all(directory.join("certificates")).and_then(|()| std::fs::write(&file, text));
    written.map_err(|e| Failure::unavailable(format!("cannot write {}: {e}", file.display())))?;
    Ok(Written { domain, config: config::load::from_text(text, &[])?, file })
}

fn receiving(stage: &Stage, directory: &Path, once: bool, number: usize) -> String {
    let world = &stage.world;
    format!(
        "# The world of `mailward demo`: mailward --config THIS check example.test\n\
         [store]\nurl = \"sqlite:{directory}/mailward.db\"\n\
         [dns]\nservers = [\"{resolver}\"]\ndnssec = \"validate\"\ntrust_anchor = \"{anchor}\"\n\
         [tls]\nextra_roots = [\"{roots}\"]\n\
         [outside]\nhelo = \"mailward.test\"\nsmtp_port = {smtp}\nhttps_port = {https}\nallow_private_addresses = true\n\
         [web]\nlisten = [\"{web}\"]\n\
         [policy_host]\nlisten = [\"{address}:{https}\"]\ncertificates = \"{directory}/certificates\"\n\
         [reports.https]\n",
        directory = directory.display(),
        resolver = world.resolver,
        anchor = world.trust_anchor.display(),
        roots = world.root_pem.display(),
        smtp = world.smtp_port,
        https = world.https_port,
        web = dashboard(once, number),
        address = world.address(),
    )
}

fn policyd(socket: &Path) -> String {
    format!("[policyd]\nlisten = [\"unix:{}\"]\n", socket.display())
}

fn sending(house: &House) -> String {
    let House { domain, organization, collector, submission, dkim_key, selector, .. } = house;
    format!(
        "{}[collector]\nsocket = \"{}\"\n\
         [reporter]\norganization = \"{organization}\"\ncontact = \"tls-reports@{domain}\"\n\
         from = \"noreply-tls-reports@{domain}\"\nsubmit = \"smtp://{submission}\"\n\
         dkim = [{{ domain = \"{domain}\", selector = \"{selector}\", key = \"{}\" }}]\n",
        policyd(&house.policyd),
        collector.display(),
        dkim_key.display(),
    )
}

/// The usual address, or any free one: beside another instance, and where nobody looks.
fn dashboard(once: bool, number: usize) -> String {
    let usual = DASHBOARDS.get(number).copied().filter(|_| !once);
    let free = usual.filter(|address| std::net::TcpListener::bind(address).is_ok());
    free.unwrap_or("127.0.0.1:0").to_owned()
}
