//! The production part of a Rust source: without its tests and without its comments.
//!
//! Works by lines, since every file is formatted: an item under `#[cfg(test)]` at the left edge ends with the next brace
//! or semicolon there.

use crate::File;

/// Whether the whole file is there for tests alone.
pub fn is_test(path: &str) -> bool {
    let of_tests = |part: &str| matches!(part, "tests" | "tests.rs" | "examples" | "benches" | "testkit" | "fuzz");
    path.split('/').any(of_tests)
}

/// The lines that are built into the product, with their numbers; none for a file of tests.
pub fn production(file: &File) -> Vec<(usize, &str)> {
    if !file.is_rust() || is_test(&file.path) {
        return Vec::new();
    }
    let mut kept = Vec::new();
    let mut lines = file.text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.starts_with("#[cfg(test)]") {
            let ends = |(_, line): &(usize, &str)| {
                let at_edge = !line.starts_with([' ', '#', '/']);
                at_edge && (line.ends_with('}') || line.ends_with(';'))
            };
            lines.find(ends);
            continue;
        }
        kept.push((at + 1, line));
    }
    kept
}

/// The same, without lines that are comments and nothing else.
pub fn code(file: &File) -> Vec<(usize, &str)> {
    let mut lines = production(file);
    lines.retain(|(_, line)| !line.trim_start().starts_with("//"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_tests_and_comments_out() {
        let text = "//! What.\nuse a;\n#[cfg(test)]\nmod doubles;\nfn f() {\n    g(); // why\n}\n\n#[cfg(test)]\nmod tests {\n    \
                    fn t() {}\n}\nfn last() {}\n";
        let file = File::new("crates/x/src/lib.rs", text);
        assert_eq!(production(&file).first(), Some(&(1, "//! What.")));
        let kept = code(&file);
        let expected =
            [(2, "use a;"), (5, "fn f() {"), (6, "    g(); // why"), (7, "}"), (8, ""), (13, "fn last() {}")];
        assert_eq!(kept, expected);
    }

    #[test]
    fn knows_files_of_tests() {
        #[track_caller]
        fn check(path: &str, expected: bool) {
            assert_eq!(is_test(path), expected, "{path}");
        }
        check("crates/domain/src/segment/tests.rs", true);
        check("crates/adapters/smtp/src/tests/world.rs", true);
        check("crates/testkit/src/dice.rs", true);
        check("crates/adapters/embedded/examples/log_bench.rs", true);
        check("tests/e2e/src/lib.rs", true);
        check("crates/domain/src/segment.rs", false);
        check("crates/contract/build.rs", false);
        assert!(production(&File::new("crates/x/src/tests.rs", "fn f() {}")).is_empty());
        assert!(production(&File::new("README.md", "text")).is_empty());
    }
}
