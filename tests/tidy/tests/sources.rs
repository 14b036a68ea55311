//! Every source says what it is, hides no unfinished work, names no machine, and does not outgrow its readers.

use loa_tidy::source::{code, is_test};
use loa_tidy::{File, files, longest, none};

/// Production lines above which a file is looked at again.
const LINES_MAX: usize = 400;

/// Files that were above it when they were last looked at, and the lines they may have. Only ever shortened.
const RATCHET: &[(&str, usize)] = &[
    ("crates/adapters/smpp/src/driver.rs", 480),
    ("crates/gateway/src/engine.rs", 460),
    ("crates/gateway/src/queue.rs", 575),
    ("crates/loa/src/cli/args.rs", 600), // a table: what can be typed
    ("crates/services/report/src/service.rs", 440),
];

/// What must not stand in any source, and why.
const NOWHERE: &[(&str, &str)] = &[
    (concat!("#[ign", "ore"), "a test that does not run proves nothing"),
    (concat!("to", "do!("), "finish it or leave it out"),
    (concat!("unimple", "mented!("), "finish it or leave it out"),
    (concat!("unbounded", "_channel"), "every queue has a limit"),
    (concat!("TO", "DO"), "finish it or leave it out"),
    (concat!("FIX", "ME"), "fix it or leave it out"),
];

/// The one reason for a test to wait for another command, which CI calls too.
const NEEDS_SERVERS: &str = concat!("#[ign", "ore = \"needs servers: make test-real\"]");

/// What must not stand in the product's code.
const NOT_IN_PRODUCT: &[(&str, &str)] =
    &[(".unwrap()", "say with expect why it cannot happen, or return the error"), ("dbg!(", "use tracing")];

/// What must not stand in any file: it is true on one machine alone.
const MACHINE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/tm", "p/"),
];

fn unopened(files: &[File]) -> Vec<String> {
    let opens =
        |text: &str| text.strip_prefix("//! ").is_some_and(|rest| rest.lines().next().unwrap_or("").len() >= 10);
    let unopened = files.iter().filter(|file| file.is_rust() && !opens(&file.text));
    unopened.map(|file| format!("{} does not open with `//! ` and what it is", file.path)).collect()
}

fn unfit(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = (1..).zip(file.text.lines()).filter(|(_, line)| line.trim() != NEEDS_SERVERS);
        for (at, line) in lines {
            let found = NOWHERE.iter().filter(|(text, _)| line.contains(text));
            faults.extend(found.map(|(text, why)| format!("{}:{at} has `{text}`: {why}", file.path)));
        }
        for (at, line) in code(file) {
            let found = NOT_IN_PRODUCT.iter().filter(|(text, _)| line.contains(text));
            faults.extend(found.map(|(text, why)| format!("{}:{at} has `{text}`: {why}", file.path)));
        }
    }
    faults
}

fn of_one_machine(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        for (at, line) in (1..).zip(file.text.lines()) {
            let found = MACHINE.iter().filter(|text| line.contains(*text));
            faults.extend(found.map(|text| format!("{}:{at} names a folder of one machine (`{text}`)", file.path)));
        }
    }
    faults
}

/// Packages come from the public registry by its one name; a mirror is the business of the machine.
fn of_one_registry(files: &[File]) -> Vec<String> {
    const PUBLIC: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let mut faults = Vec::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        for (at, line) in (1..).zip(file.text.lines()) {
            let elsewhere = name == "Cargo.lock" && line.starts_with("source = ") && line != PUBLIC;
            let named = name == "Cargo.toml" && (line.contains("registry = \"") || line.contains("git = \""));
            if elsewhere || named {
                faults.push(format!("{}:{at} takes a package from elsewhere than the public registry", file.path));
            }
        }
        if file.path.contains(".cargo/") {
            faults.push(format!("{} is the machine's business, not the tree's", file.path));
        }
    }
    faults
}

fn too_long(sizes: &[(usize, String)], ratchet: &[(&str, usize)]) -> Vec<String> {
    let allowed = |path: &str| ratchet.iter().find(|(known, _)| *known == path).map_or(LINES_MAX, |(_, lines)| *lines);
    let long = sizes.iter().filter(|(lines, path)| *lines > allowed(path));
    long.map(|(lines, path)| {
        let max = allowed(path);
        format!("{path} has {lines} production lines of {max}: split it where a reader would look for the piece")
    })
    .collect()
}

#[test]
fn every_source_says_what_it_is() {
    none(&unopened(&files()));
}

#[test]
fn no_source_hides_unfinished_work() {
    none(&unfit(&files()));
}

#[test]
fn no_file_names_one_machine() {
    let files = files();
    none(&of_one_machine(&files));
    none(&of_one_registry(&files));
}

#[test]
fn no_file_outgrows_its_readers() {
    let files = files();
    let sizes = longest::files(&files);
    println!("longest files:\n{}", longest::table(&sizes));
    println!("longest functions:\n{}", longest::table(&longest::functions(&files)));
    for (path, _) in RATCHET {
        assert!(files.iter().any(|file| file.path == *path), "{path} is gone: take it out of RATCHET");
        assert!(!is_test(path), "{path} holds tests, which are not counted");
    }
    none(&too_long(&sizes, RATCHET));
}

#[test]
fn faults_are_found() {
    let good = "//! Tells what this is.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    fn t() {\n        f().unwrap();\n    }\n}\n";
    let clean = [
        File::new("crates/x/src/a.rs", good),
        File::new("crates/x/tests/a.rs", "//! Shows that it holds.\nx.unwrap();\n"),
    ];
    for rule in [unopened, unfit, of_one_machine, of_one_registry] {
        assert_eq!(rule(&clean), Vec::<String>::new());
    }
    let bad = |text: &str| [File::new("crates/x/src/a.rs", text)];
    assert_eq!(unopened(&bad("use std::fs;\n")).len(), 1);
    assert_eq!(unopened(&bad("//! \nuse std::fs;\n")).len(), 1);
    assert_eq!(unfit(&bad("//! Tells.\nfn f() { g().unwrap(); }\n")).len(), 1);
    assert_eq!(unfit(&bad(&format!("//! Tells what.\n{NEEDS_SERVERS}\n"))), Vec::<String>::new());
    for (text, _) in NOWHERE {
        assert_eq!(
            unfit(&bad(&format!("//! Tells.\n#[cfg(test)]\nmod tests {{\n    {text}\n}}\n"))).len(),
            1,
            "{text}"
        );
    }
    for folder in MACHINE {
        assert_eq!(of_one_machine(&bad(&format!("//! See {folder}x.\n"))).len(), 1, "{folder}");
    }
    let lock = File::new("Cargo.lock", "source = \"registry+https://mirror.example/index\"\n");
    let manifest = File::new("crates/x/Cargo.toml", "a = { version = \"1\", registry = \"mine\" }\n");
    assert_eq!(of_one_registry(&[lock, manifest]).len(), 2);
    let sizes = [(401, "a.rs".to_owned()), (500, "b.rs".to_owned()), (400, "c.rs".to_owned())];
    assert_eq!(too_long(&sizes, &[("b.rs", 500)]).len(), 1);
    assert_eq!(too_long(&sizes, &[("b.rs", 499), ("a.rs", 401)]).len(), 1);
}
