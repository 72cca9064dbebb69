//! Regular expressions of a tokenizer.json. The tokenizers crate takes a text as ended where its engine gives up on it,
//! so that the rest becomes one word; these never do that.

use fancy_regex::Regex as Backtracking;
use regex::Regex as Linear;
use tokenizers::{Offsets, Result, pattern::Pattern};

/// White space before a word, but for its last character: the look-ahead that GPT-2's pattern and its heirs have.
const BLANKS: &str = r"\s+(?!\S)";

/// A regular expression. Where backtracking exceeds its limits, the same without look-ahead goes on, in linear time;
/// where there is no such thing, that is an error.
#[derive(Clone)]
pub(super) struct Regex {
    backtracking: Backtracking,
    linear: Option<Linear>,
}

impl Regex {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        Ok(Self { backtracking: Backtracking::new(pattern)?, linear: without_look_ahead(pattern) })
    }

    /// Matches a text as it stands.
    pub(super) fn literal(text: &str) -> Result<Self> {
        Self::new(&regex::escape(text))
    }
}

impl Pattern for &Regex {
    fn find_matches(&self, text: &str) -> Result<Vec<(Offsets, bool)>> {
        match ((&self.backtracking).find_matches(text), &self.linear) {
            (Err(_), Some(linear)) => Ok(find_linear(linear, text)),
            (Err(error), None) => {
                Err(format!("the tokenizer's pattern {:?} gives up: {error}", self.backtracking.as_str()).into())
            }
            (found, _) => found,
        }
    }
}

/// The pattern with [`BLANKS`], one of its alternatives, in words of an automaton: the group `blanks` is what it matches
/// but at the end of a text, where it matches all.
fn without_look_ahead(pattern: &str) -> Option<Linear> {
    let (before, after) = pattern.split_once(BLANKS)?;
    // It is an alternative of the whole pattern if the others make sense without it.
    let is_alternative = (before.is_empty() || Linear::new(before.strip_suffix('|')?).is_ok())
        && (after.is_empty() || Linear::new(after.strip_prefix('|')?).is_ok());
    // The automaton's engine takes `a++` as `(a+)+`, and that may match where the possessive one doesn't.
    let counted = |end: usize| pattern[..end].ends_with(|c: char| c.is_ascii_digit() || c == ',');
    let possessive = ["++", "*+", "?+"].iter().any(|repeated| pattern.contains(repeated))
        || pattern.match_indices("}+").any(|(end, _)| counted(end));
    let linear = || Linear::new(&format!(r"{before}\s+\z|(?<blanks>\s+)\s{after}"));
    (is_alternative && !possessive).then(linear)?.ok()
}

/// The matches of a pattern of [`without_look_ahead`], and what lies between them.
fn find_linear(regex: &Linear, text: &str) -> Vec<(Offsets, bool)> {
    let mut found = Vec::new();
    let (mut end, mut at) = (0, 0);
    while let Some(captures) = (at <= text.len()).then(|| regex.captures_at(text, at)).flatten() {
        let whole = captures.get_match();
        let stop = captures.name("blanks").map_or(whole.end(), |blanks| blanks.end());
        at = stop;
        if whole.is_empty() {
            at += text[stop..].chars().next().map_or(1, char::len_utf8);
            if stop == end && !found.is_empty() {
                continue; // No empty match follows another match.
            }
        }
        if end < whole.start() {
            found.push(((end, whole.start()), false));
        }
        found.push(((whole.start(), stop), true));
        end = stop;
    }
    if end < text.len() {
        found.push(((end, text.len()), false));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const BLANKS_ALONE: &str = r"\s+(?!\S)";
    const PATTERNS: [&str; 5] = [GPT2, LLAMA3, BLANKS_ALONE, r"\s+(?!\S)|\s+", r"a?|\s+(?!\S)"];

    proptest! {
        #[test]
        fn the_linear_one_matches_the_same(text in "[ab1'!s \n\r\t\u{3000}é]{0,40}") {
            for pattern in PATTERNS {
                let regex = Regex::new(pattern).unwrap();
                let linear = find_linear(regex.linear.as_ref().unwrap(), &text);
                if !text.is_empty() {
                    prop_assert_eq!((&regex.backtracking).find_matches(&text).unwrap(), linear, "{}", pattern);
                }
            }
        }
    }

    #[test]
    fn a_run_of_blanks_ends_before_the_last_one_however_long_it_is() {
        for blanks in [10, 999_998, 1_000_000, 3_000_000] {
            let text = " ".repeat(blanks) + "a lamp  ";
            let found = (&Regex::new(GPT2).unwrap()).find_matches(&text).unwrap();
            let ends: Vec<_> = found.iter().map(|((_, end), matched)| (*end - blanks.min(*end), *matched)).collect();
            assert_eq!(ends, [(0, true), (1, true), (6, true), (8, true)], "{blanks}");
            assert_eq!(found[0].0, (0, blanks - 1));
        }
    }

    #[test]
    fn a_pattern_that_gives_up_is_an_error() {
        let text = " ".repeat(3_000_000) + "a lamp";
        for pattern in [r"\s+(?=a)(?!al)|\s+", r"(?:\s+(?!\S))x|\s", r"\s++b|\s+(?!\S)|\s+", r"(\s)\s+\1x|\s+(?!\S)"] {
            let error = (&Regex::new(pattern).unwrap()).find_matches(&text).unwrap_err().to_string();
            assert!(error.contains("gives up"), "{pattern}: {error}");
        }
    }

    #[test]
    fn literal_text_is_no_pattern() {
        let found = (&Regex::literal("a.b").unwrap()).find_matches("axba.b").unwrap();
        assert_eq!(found, [((0, 3), false), ((3, 6), true)]);
    }
}
