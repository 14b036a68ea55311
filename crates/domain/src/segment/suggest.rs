//! "Did you mean": the known word that differs least from what was typed.

/// Words longer than this are not compared, in characters: the cost grows with the square.
const COMPARED_CHARS_MAX: usize = 64;

/// The value whose key is nearest to `typed`, when it differs in at most a third of its letters (and at most three).
/// The first of equally near ones wins; the order of the candidates is fixed by the caller.
pub(crate) fn closest<V>(typed: &str, candidates: impl Iterator<Item = (impl AsRef<str>, V)>) -> Option<V> {
    let typed: Vec<char> = typed.chars().take(COMPARED_CHARS_MAX + 1).collect();
    if typed.is_empty() || typed.len() > COMPARED_CHARS_MAX {
        return None;
    }
    let allowed = (typed.len() / 3).clamp(1, 3);
    let mut best = None;
    let mut best_distance = allowed + 1;
    for (key, value) in candidates {
        let distance = distance(&typed, key.as_ref());
        if distance < best_distance {
            best_distance = distance;
            best = Some(value);
        }
    }
    best
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(typed: &[char], word: &str) -> usize {
    let word: Vec<char> = word.chars().take(COMPARED_CHARS_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=word.len()).collect();
    for (row, letter) in typed.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in word.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut least = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && *letter == word[column - 1] && typed[row - 1] == *other;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(typed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        #[track_caller]
        fn check(typed: &str, meant: Option<&str>) {
            let words = ["service", "payment", "commune", "tags", "has", "age"];
            assert_eq!(closest(typed, words.into_iter().map(|word| (word, word))), meant, "{typed}");
        }

        check("servce", Some("service"));
        check("paymetn", Some("payment")); // two letters swapped are one slip
        check("tag", Some("tags"));
        check("ahs", Some("has"));
        check("communes", Some("commune"));
        check("weather", None);
        check("", None);
        check(&"a".repeat(10_000), None);
    }
}
