//! What an operator meets: each code has a page and each page a code; each target of the Makefile says what it does; CI
//! runs what a person runs.

use std::collections::BTreeMap;

use loa_tidy::source::code;
use loa_tidy::{File, files, none, read};

/// The targets that everybody may rely on.
const TARGETS: &[&str] = &["help", "setup", "run", "test", "check", "bench", "soak", "fuzz", "clean"];

/// Headings of a page: what an operator asks, in this order.
const HEADINGS: &[&str] = &["## What happened", "## What it means for messages", "## What to do"];

/// The codes in a text.
fn codes(text: &str) -> Vec<String> {
    let numbers =
        text.split("LOA-").skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    numbers.filter(|number| number.len() == 3).map(|number| format!("LOA-{number}")).collect()
}

/// Codes without a page, pages without a code, pages that leave a question open.
fn unpaired(files: &[File]) -> Vec<String> {
    let mut used = BTreeMap::new();
    for file in files {
        for (at, line) in code(file) {
            for code in codes(line) {
                used.entry(code).or_insert_with(|| format!("{}:{at}", file.path));
            }
        }
    }
    let page = |code: &str| format!("deploy/errors/{code}.md");
    let mut faults = Vec::new();
    for (code, place) in &used {
        if !files.iter().any(|file| file.path == page(code)) {
            faults.push(format!("{place} tells the operator {code}, which has no page {}", page(code)));
        }
    }
    for file in files.iter().filter(|file| file.path.starts_with("deploy/errors/LOA-")) {
        let known = used.keys().find(|code| page(code) == file.path);
        let Some(code) = known else {
            faults.push(format!("{} explains a code that nothing tells", file.path));
            continue;
        };
        if !file.text.starts_with(&format!("# {code}: ")) {
            faults.push(format!("{} must begin with `# {code}: ` and what could not be done", file.path));
        }
        let missing = HEADINGS.iter().filter(|heading| !file.text.lines().any(|line| line == **heading));
        faults.extend(missing.map(|heading| format!("{} lacks `{heading}`", file.path)));
    }
    faults
}

/// Targets that do not say what they do.
fn unexplained(makefile: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for target in TARGETS {
        let line = makefile.lines().find(|line| line.starts_with(&format!("{target}:")));
        if !line.is_some_and(|line| line.contains(" ## ")) {
            faults.push(format!("the Makefile needs `{target}: ## what it does`"));
        }
    }
    faults
}

#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    none(&unpaired(&files()));
}

#[test]
fn each_target_says_what_it_does() {
    none(&unexplained(&read("Makefile")));
}

#[test]
fn ci_runs_what_a_person_runs() {
    assert!(read(".ci/run").contains("make check"));
    assert!(read(".github/workflows/check.yml").contains("run: .ci/run"));
}

#[test]
fn faults_are_found() {
    let page = "# LOA-101: could not\n\n## What happened\nx\n## What it means for messages\nx\n## What to do\nx\n";
    let told = File::new("crates/x/src/a.rs", "//! Not a use: LOA-999.\nerror!(\"LOA-101 could not\");\n");
    let good = File::new("deploy/errors/LOA-101.md", page);
    assert_eq!(unpaired(&[told.clone(), good.clone()]), Vec::<String>::new());
    assert_eq!(unpaired(std::slice::from_ref(&told)).len(), 1, "a code without a page");
    assert_eq!(unpaired(std::slice::from_ref(&good)).len(), 1, "a page without a code");
    let short = File::new("deploy/errors/LOA-101.md", "# LOA-102: could not\n## What happened\n");
    assert_eq!(unpaired(&[told, short]).len(), 3, "another title, two headings missing");
    assert_eq!(unexplained("help: ## Lists the targets\ntest:\n").len(), TARGETS.len() - 1);
}
