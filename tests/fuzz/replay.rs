//! The corpus of a fuzz target, run with the tests of the crate that it is of.

/// Gives each input of a target's corpus to its check.
pub(super) fn corpus(target: &str, check: fn(&[u8])) {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    let inputs =
        std::fs::read_dir(dir.join(target)).unwrap_or_else(|error| panic!("no corpus of {target}: {error}"));
    let mut count = 0;
    for input in inputs {
        let path = input.unwrap().path();
        // Seen where the check panics.
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}
