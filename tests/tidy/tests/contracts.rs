//! The contract files keep to the rules of proto/README.md, and its table of topics is the one that is compiled.

use std::collections::BTreeSet;

use loa_contract::topics;
use loa_tidy::{File, files, none, read};

/// Who may call, as it stands in the first words above an RPC.
const RIGHTS: &[&str] = &["viewer", "author", "approver", "operator", "system"];

fn protos() -> Vec<File> {
    let mut protos = files();
    protos.retain(|file| file.path.ends_with(".proto"));
    assert!(protos.len() >= 7, "only {} contract files were found", protos.len());
    protos
}

/// The package is the folder, and ends in a version.
fn misplaced(file: &File) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let expected = folder.strip_prefix("proto/").unwrap_or(folder).replace('/', ".");
    let line = format!("package {expected};");
    let versioned = expected.rsplit_once(".v").is_some_and(|(_, number)| number.parse::<u32>().is_ok());
    let good = versioned && file.text.lines().any(|found| found == line);
    if good { vec![] } else { vec![format!("{} must say `{line}`, and that must end in a version", file.path)] }
}

/// Each RPC says who may call it.
fn unexplained(file: &File) -> Vec<String> {
    let mut comment: Vec<&str> = Vec::new();
    let mut faults = Vec::new();
    for (at, line) in (1..).zip(file.text.lines().map(str::trim)) {
        if let Some(text) = line.strip_prefix("//") {
            comment.push(text.trim());
            continue;
        }
        let right = comment.first().and_then(|first| first.strip_prefix("Right: "));
        let known = right.is_some_and(|text| RIGHTS.iter().any(|right| text.starts_with(right)));
        if line.starts_with("rpc ") && !known {
            faults.push(format!("{}:{at} needs `// Right: …` above it: who may call, and what it does", file.path));
        }
        comment.clear();
    }
    faults
}

/// Enums begin with UNSPECIFIED = 0, so that a forgotten field is not a choice.
fn unspecified(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut lines = (1..).zip(file.text.lines().map(str::trim)).filter(|(_, line)| !line.starts_with("//"));
    while let Some((at, line)) = lines.next() {
        let Some(rest) = line.strip_prefix("enum ") else { continue };
        let inside = rest.split_once('{').map_or("", |(_, inside)| inside.trim());
        let first = if inside.is_empty() { lines.next().map_or("", |(_, line)| line) } else { inside };
        let first = first.split(';').next().unwrap_or_default();
        if !first.ends_with("UNSPECIFIED = 0") {
            faults.push(format!("{}:{at} the first value of an enum is …_UNSPECIFIED = 0", file.path));
        }
    }
    faults
}

/// A call that creates something takes an idempotency key.
fn unrepeatable(file: &File) -> Vec<String> {
    let calls = |name: &str| file.text.contains(&format!("({name})"));
    let creates = |name: &str| {
        ["Create", "Send"].iter().any(|verb| name.starts_with(verb)) && name.ends_with("Request") && calls(name)
    };
    let mut faults = Vec::new();
    for message in file.text.split("\nmessage ").skip(1) {
        let body = message.split_once("}\n").map_or(message, |(body, _)| body);
        let name = body.split([' ', '{']).next().unwrap_or_default();
        if creates(name) && !body.contains("string idempotency_key = ") {
            faults.push(format!("{}: {name} needs `string idempotency_key`", file.path));
        }
    }
    faults
}

#[test]
fn contract_files_keep_to_their_rules() {
    for file in protos() {
        for rule in [misplaced, unexplained, unspecified, unrepeatable] {
            none(&rule(&file));
        }
    }
}

#[test]
fn every_role_has_its_service() {
    let services: BTreeSet<String> = protos()
        .iter()
        .flat_map(|file| file.text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| Some(line.strip_prefix("service ")?.split_once(' ')?.0.to_owned()))
        .collect();
    let expected = ["Audience", "Dispatch", "Email", "Registry", "Report", "Sms"];
    assert_eq!(services, expected.map(|role| format!("{role}Service")).into());
}

#[test]
fn the_table_of_topics_is_the_compiled_one() {
    let table = topics::markdown();
    assert!(read("proto/README.md").contains(&table), "put this into proto/README.md:\n{table}");
    let lines = table.lines().count();
    assert_eq!(lines, topics::ALL.len() + 2, "one line a topic");
}

#[test]
fn faults_are_found() {
    let good = "package loa.x.v1;\nservice X {\n  // Right: viewer. Tells.\n  rpc Get(A) returns (B);\n}\nenum E { E_UNSPECIFIED \
                = 0; E_ONE = 1; }\nmessage CreateXRequest { string idempotency_key = 1; }\n";
    let file = |text: &str| File::new("proto/loa/x/v1/x.proto", text);
    for rule in [misplaced, unexplained, unspecified, unrepeatable] {
        assert_eq!(rule(&file(good)), Vec::<String>::new());
    }
    assert_eq!(misplaced(&file("package loa.x;\n")).len(), 1);
    assert_eq!(unexplained(&file("service X {\n  rpc Get(A) returns (B);\n}\n")).len(), 1);
    assert_eq!(unexplained(&file("  // Tells.\n  rpc Get(A) returns (B);\n")).len(), 1);
    assert_eq!(unspecified(&file("enum E {\n  // The one.\n  E_ONE = 0;\n}\n")).len(), 1);
    assert_eq!(unspecified(&file("enum E { E_ONE = 0; }\n")).len(), 1);
    assert_eq!(
        unrepeatable(&file("rpc New(CreateXRequest)\nmessage CreateXRequest {\n  string name = 1;\n}\n")).len(),
        1
    );
}
