//! The longest files and functions of the product: what to look at again.

use crate::File;
use crate::source::production;

/// How many are listed.
pub const LISTED: usize = 10;

/// Files by production lines, the longest first.
pub fn files(files: &[File]) -> Vec<(usize, String)> {
    let sized = files.iter().map(|file| (production(file).len(), file.path.clone()));
    longest_first(sized.filter(|&(lines, _)| lines > 0).collect())
}

/// Functions by lines, the longest first.
pub fn functions(files: &[File]) -> Vec<(usize, String)> {
    longest_first(files.iter().flat_map(of_file).collect())
}

/// The first of a list, a line each.
pub fn table(list: &[(usize, String)]) -> String {
    list.iter().take(LISTED).map(|(lines, name)| format!("{lines:>6} {name}\n")).collect()
}

fn of_file(file: &File) -> Vec<(usize, String)> {
    let mut open: Option<(usize, String, String)> = None; // first line, closing line, name
    let mut found = Vec::new();
    for (at, line) in production(file) {
        if let Some((first, closing, name)) = &open
            && line == closing
        {
            found.push((at - first + 1, format!("{}: {name}", file.path)));
            open = None;
        } else if open.is_some() && line.trim_start().starts_with(')') && line.ends_with(';') {
            open = None; // declared, not written here
        } else if open.is_none()
            && let Some((indent, name)) = head(line)
        {
            open = Some((at, format!("{indent}}}"), name.to_owned()));
        }
    }
    found
}

/// Indent and name of the function that begins on this line and does not end on it.
fn head(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once("fn ")?;
    let words = before.trim_start();
    let plain = words.split_whitespace().all(|word| word.starts_with("pub") || matches!(word, "async" | "const"));
    let name = after.split(['(', '<']).next()?;
    let begins = plain && !line.ends_with(['}', ';']) && !name.is_empty();
    begins.then(|| (before.strip_suffix(words).unwrap_or_default(), name))
}

fn longest_first(mut list: Vec<(usize, String)>) -> Vec<(usize, String)> {
    list.sort_by(|a, b| b.cmp(a));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_files_and_functions() {
        let text = "//! What.\npub async fn long<T>(\n    a: T,\n) {\n    if a {\n    }\n}\ntrait Y {\n    fn told(\n    );\n}\nimpl X {\n    fn short(&self) {\n        \
                    g();\n    }\n    fn line() {}\n}\n#[cfg(test)]\nmod tests {\n    fn t() {\n\n\n\n\n\n\n    }\n}\n";
        let tree = [File::new("a.rs", text), File::new("b.rs", "//! B.\n"), File::new("b.md", "text")];
        assert_eq!(files(&tree), [(17, "a.rs".to_owned()), (1, "b.rs".to_owned())]);
        assert_eq!(functions(&tree), [(6, "a.rs: long".to_owned()), (3, "a.rs: short".to_owned())]);
        assert_eq!(table(&files(&tree)), "    17 a.rs\n     1 b.rs\n");
    }
}
