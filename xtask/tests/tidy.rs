//! The house is in order: the same check as `cargo xtask tidy`.

#[test]
fn everything_is_in_its_place() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let complaints = xtask::tidy::check(root);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
