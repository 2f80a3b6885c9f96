//! The organisation that reports, `sender.test`: its keys, published, and its `[reporter]`.

use std::path::Path;
use std::process::Command;

use mailward_lab::{Security, World};

/// Its domain, which submits the reports.
pub const DOMAIN: &str = "sender.test";

/// Makes zone and keys. Returns the part of the configuration.
pub fn furnish(world: &World) -> String {
    world.zone(DOMAIN, Security::Signed).unwrap();
    let keys = ["rsa", "ed25519"].map(|selector| {
        let (file, record) = key(&world.directory, selector);
        world.set(&format!("{selector}._domainkey.{DOMAIN}"), "TXT", &[&record]).unwrap();
        format!("{{ domain = \"{DOMAIN}\", selector = \"{selector}\", key = \"{file}\" }}")
    });
    format!(
        "[reporter]\norganization = \"Sender\"\ncontact = \"tls@{DOMAIN}\"\nsubmit = \"smtp://127.0.0.1:25\"\n\
         spread = \"1s\"\ndkim = [{}]\n",
        keys.join(", ")
    )
}

/// A private key in a file, and the record for it, written without any help of ours.
fn key(directory: &Path, algorithm: &str) -> (String, String) {
    let file = directory.join(format!("dkim-{algorithm}.pem")).display().to_string();
    openssl(&["genpkey", "-algorithm", algorithm, "-out", &file]);
    let public = openssl(&["pkey", "-in", &file, "-pubout"]);
    let base64: String = public.lines().filter(|line| !line.starts_with('-')).collect();
    let public = match algorithm {
        // RFC 8463 §4: the 32 octets alone, without the 12 that say what they are.
        "ed25519" => &base64[16..],
        _ => &base64,
    };
    (file, format!("v=DKIM1; k={algorithm}; s=tlsrpt; p={public}"))
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
