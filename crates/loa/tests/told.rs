//! Every `loa …` that a document, a message or a page tells somebody to type exists, with its options.
//!
//! Looked for where code is marked: between backticks, in `<code>`, and in blocks of shell. Values are not looked at: the
//! tour of README.md is run by the end-to-end tests.

use clap::{Command, CommandFactory as _};
use loa::cli::args::Cli;
use loa_tidy::{File, files, none};

/// What somebody is told to type: the words after `loa`.
fn told(file: &File) -> Vec<(usize, String)> {
    let mut told = Vec::new();
    let mut shell = false;
    for (at, line) in (1..).zip(file.text.lines()) {
        if let Some(block) = line.strip_prefix("```") {
            shell = !shell && block.starts_with("sh");
        }
        let marks = [("`loa ", '`'), ("<code>loa ", '<')];
        for (begin, end) in marks {
            let found = line.split(begin).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0));
            told.extend(found.map(|words| (at, words.to_owned())));
        }
        if shell {
            let parts = line.split(['|', '&', ';']).map(|part| part.rsplit("$(").next().unwrap_or(part).trim());
            told.extend(parts.filter_map(|part| Some((at, part.strip_prefix("loa ")?.to_owned()))));
        }
    }
    told
}

/// What does not exist of it.
fn unknown(words: &str) -> Option<String> {
    let mut command = Cli::command();
    command.build();
    let mut at: &Command = &command;
    let mut words = words.split_whitespace().take_while(|word| !word.starts_with('#') && !word.starts_with('>'));
    while let Some(word) = words.next() {
        let option = word.split('=').next().unwrap_or(word);
        if let Some(long) = option.strip_prefix("--") {
            let known = |command: &Command| command.get_arguments().find(|arg| arg.get_long() == Some(long)).cloned();
            let Some(arg) = known(at).or_else(|| known(&command)) else {
                return (long != "help").then(|| format!("no option `--{long}` of `{}`", at.get_name()));
            };
            let takes = arg.get_action().takes_values() && !word.contains('=');
            if takes && words.next().is_none() {
                return Some(format!("no value for `--{long}`"));
            }
        } else if at.has_subcommands() && word.starts_with(|c: char| c.is_ascii_lowercase()) {
            match at.find_subcommand(word) {
                Some(next) => at = next,
                None => return Some(format!("no command `{word}` of `{}`", at.get_name())),
            }
        } else {
            break; // a value, or a placeholder
        }
    }
    None
}

#[test]
fn what_people_are_told_to_type_exists() {
    let mut faults = Vec::new();
    let mut looked_at = 0;
    for file in files().iter().filter(|file| file.path != "crates/loa/tests/told.rs") {
        for (at, words) in told(file) {
            looked_at += 1;
            faults.extend(unknown(&words).map(|fault| format!("{}:{at} tells `loa {words}`: {fault}", file.path)));
        }
    }
    assert!(looked_at > 20, "only {looked_at} commands were found");
    none(&faults);
}

#[test]
fn faults_are_found() {
    let text = "Type `loa dev --sample` or <code>loa campaign list</code>.\n```sh tour\nID=$(loa --as a campaign show x | \
                sed s/a/b/) && loa find 1 > x # loa\n```\nloa is no command here\n";
    let found: Vec<_> = told(&File::new("README.md", text)).into_iter().map(|(_, words)| words).collect();
    assert_eq!(found, ["dev --sample", "campaign list", "--as a campaign show x", "find 1 > x # loa"]);
    for good in [
        "dev --sample --once",
        "--as author campaign submit \"$ID\"",
        "run --roles sms,email",
        "find NUMBER",
        "campaign",
    ] {
        assert_eq!(unknown(good), None, "{good}");
    }
    for bad in ["fly", "campaign fly", "dev --fly", "--fly dev", "campaign list --fly", "--as"] {
        assert!(unknown(bad).is_some(), "{bad}");
    }
}
