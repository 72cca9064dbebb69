//! Regular expressions of a tokenizer.json. If the engine of the tokenizers crate gives up, the rest of the text silently
//! becomes one word. Expressions of this module use a fallback or return an error instead.

use std::sync::OnceLock;

use fancy_regex::Regex as Backtracking;
use regex::Regex as Linear;
use tokenizers::{Offsets, Result, pattern::Pattern};

/// White space before a word without its last character: the look-ahead in GPT-2's pattern and those derived from it.
const BLANKS: &str = r"\s+(?!\S)";

/// A regular expression. If backtracking exceeds its limits, an equivalent expression without look-ahead takes over, in
/// linear time. Matching fails if there is no equivalent.
#[derive(Clone)]
pub(super) struct Regex {
    backtracking: Backtracking,
    /// Compiled when it is first needed, which is rare: it takes longer than the rest of a small model's load.
    linear: OnceLock<Option<Linear>>,
}

impl Regex {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        Ok(Self { backtracking: Backtracking::new(pattern)?, linear: OnceLock::new() })
    }

    /// Makes an expression that matches `text` literally.
    pub(super) fn literal(text: &str) -> Result<Self> {
        Self::new(&regex::escape(text))
    }

    /// Returns the equivalent expression without look-ahead, if there is one.
    fn linear(&self) -> Option<&Linear> {
        self.linear.get_or_init(|| without_look_ahead(self.backtracking.as_str())).as_ref()
    }
}

impl Pattern for &Regex {
    fn find_matches(&self, text: &str) -> Result<Vec<(Offsets, bool)>> {
        (&self.backtracking).find_matches(text).or_else(|error| match self.linear() {
            Some(linear) => Ok(find_linear(linear, text)),
            None => Err(format!("the tokenizer's pattern {:?} gives up: {error}", self.backtracking.as_str()).into()),
        })
    }
}

/// Rewrites a pattern that has [`BLANKS`] as an alternative, for an automaton. The group `blanks` captures its match, except
/// at the end of a text, where all white space matches.
fn without_look_ahead(pattern: &str) -> Option<Linear> {
    let (before, after) = pattern.split_once(BLANKS)?;
    // BLANKS is an alternative of the whole pattern if the others are valid without it.
    let is_alternative = (before.is_empty() || Linear::new(before.strip_suffix('|')?).is_ok())
        && (after.is_empty() || Linear::new(after.strip_prefix('|')?).is_ok());
    // The automaton reads possessive `a++` as `(a+)+`, which may match more.
    let counted = |end: usize| pattern[..end].ends_with(|c: char| c.is_ascii_digit() || c == ',');
    let possessive = ["++", "*+", "?+"].iter().any(|repeated| pattern.contains(repeated))
        || pattern.match_indices("}+").any(|(end, _)| counted(end));
    let linear = || Linear::new(&format!(r"{before}\s+\z|(?<blanks>\s+)\s{after}"));
    (is_alternative && !possessive).then(linear)?.ok()
}

/// Returns the matches of a pattern of [`without_look_ahead`], and the text between them.
fn find_linear(regex: &Linear, text: &str) -> Vec<(Offsets, bool)> {
    let mut found = Vec::new();
    let (mut end, mut at) = (0, 0);
    while let Some(captures) = (at <= text.len()).then(|| regex.captures_at(text, at)).flatten() {
        let full = captures.get_match();
        let stop = captures.name("blanks").map_or(full.end(), |blanks| blanks.end());
        at = stop;
        if full.is_empty() {
            at += text[stop..].chars().next().map_or(1, char::len_utf8);
            if stop == end && !found.is_empty() {
                continue; // An empty match directly after another match does not count.
            }
        }
        if end < full.start() {
            found.push(((end, full.start()), false));
        }
        found.push(((full.start(), stop), true));
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
                let linear = find_linear(regex.linear().unwrap(), &text);
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
