//! Places in texts that people write (rules, templates), and the excerpt with a caret that shows one.
//!
//! An error that says "line 1, column 23" and shows the words with a mark under them is mended in seconds.
//!
//! Must stay true: columns count characters, not bytes, since the people concerned write Vietnamese; an excerpt is one
//! line of bounded length however long the text is.

use std::fmt;
use std::ops::Range;

/// Characters of an excerpt before and after its place, at most.
const EXCERPT_BEFORE_MAX: usize = 60;
const EXCERPT_AFTER_MAX: usize = 40;
/// Characters of somebody's words repeated in an error, at most.
const QUOTE_CHARS_MAX: usize = 40;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Bytes before it.
    pub offset: usize,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset; an offset inside a character means that character, one behind the end the end.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..text.floor_char_boundary(offset)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { offset: before.len(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The line around a place, with a caret under every character of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    line: String,
    indent: usize,
    carets: usize,
}

impl Excerpt {
    /// The excerpt of a byte range; a range over several lines is marked on its first.
    pub fn of(text: &str, range: Range<usize>) -> Self {
        let start = text.floor_char_boundary(range.start);
        let (before, after) = text.split_at_checked(start).unwrap_or((text, ""));
        let before = before.rsplit('\n').next().unwrap_or_default();
        let after = after.split(['\n', '\r']).next().unwrap_or_default();
        let marked = after.char_indices().take_while(|(at, _)| start + at < range.end).count();

        let skipped = before.chars().count().saturating_sub(EXCERPT_BEFORE_MAX);
        let shown_after = after.chars().count().min(EXCERPT_AFTER_MAX);
        let mut line: String = if skipped > 0 { "…".to_owned() } else { String::new() };
        line.extend(before.chars().skip(skipped).map(plain));
        let indent = line.chars().count();
        line.extend(after.chars().take(shown_after).map(plain));
        if shown_after < after.chars().count() {
            line.push('…');
        }
        Self { line, indent, carets: marked.clamp(1, shown_after.max(1)) }
    }
}

/// Control characters would move the caret or act on a terminal.
fn plain(found: char) -> char {
    if found.is_control() { ' ' } else { found }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}\n  {:indent$}{}", self.line, "", "^".repeat(self.carets), indent = self.indent)
    }
}

/// Somebody's words as an error repeats them: in backticks, one line, cut to a bounded length.
pub(crate) fn quoted(words: &str) -> String {
    let mut shown: String = words.chars().take(QUOTE_CHARS_MAX).map(plain).collect();
    if words.chars().nth(QUOTE_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_count_characters() {
        #[track_caller]
        fn check(text: &str, offset: usize, line: usize, column: usize) {
            let place = Place::of(text, offset);
            assert_eq!((place.line, place.column), (line, column), "{text:?} {offset}");
        }

        check("", 0, 1, 1);
        check("abc", 2, 1, 3);
        check("đường", 2, 1, 2);
        check("đường", 1, 1, 1); // inside the first letter
        check("a\nbc", 3, 2, 2);
        check("abc", 99, 1, 4);
    }

    #[test]
    fn an_excerpt_shows_the_place() {
        let text = "xã in (\"An Hội\")\nand more";
        assert_eq!(Excerpt::of(text, 8..18).to_string(), "  xã in (\"An Hội\")\n         ^^^^^^^^");
        assert_eq!(Excerpt::of("", 0..0).to_string(), "  \n  ^");
        let long = "a".repeat(500);
        let shown = Excerpt::of(&long, 250..400).to_string();
        assert_eq!(shown, format!("  …{}…\n   {}{}", "a".repeat(100), " ".repeat(60), "^".repeat(40)));
    }

    proptest! {
        /// Any range of any text has a place and an excerpt of two short lines.
        #[test]
        fn any_range_is_shown(text in "(?s).{0,200}", start in 0usize..300, length in 0usize..300) {
            let shown = Excerpt::of(&text, start..start + length).to_string();
            prop_assert_eq!(shown.lines().count(), 2);
            prop_assert!(shown.lines().all(|line| line.chars().count() <= 3 + EXCERPT_BEFORE_MAX + EXCERPT_AFTER_MAX + 1));
            prop_assert!(Place::of(&text, start).offset <= text.len());
            prop_assert!(quoted(&text).chars().count() <= QUOTE_CHARS_MAX + 3);
        }
    }
}
