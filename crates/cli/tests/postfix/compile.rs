//! Small programs in C, made when they are needed: the compiler is there, since crates need it, too.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a file that lies beside the tests into another. Returns the latter.
pub fn compile(source: &str, into: &Path, arguments: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postfix").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Werror", "-o"]).arg(into).arg(source).args(arguments);
    let output = compiler.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    into.to_owned()
}
