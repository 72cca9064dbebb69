//! Tests of SigLIP's tokenizer against transformers' on SentencePiece (tests/data/tokenizers, written by make_siglip.py).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::TempDir;

use super::{DATA, load_folder, read};
use crate::error::{Error, Result};
use crate::tokenize::{Input, Tokenizer};

#[derive(Deserialize)]
struct Answers {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    pairs: Vec<Vec<u32>>,
    cut_to_4: Vec<Vec<u32>>,
}

fn data() -> PathBuf {
    Path::new(DATA).join("siglip")
}

fn ids(tokenizer: &Tokenizer, input: Input<'_>, length: usize) -> Vec<u32> {
    let tokens = tokenizer.encode(input, "", length).unwrap();
    assert_eq!(tokenizer.count(input).unwrap(), tokens.full_length);
    tokens.ids
}

#[test]
fn siglip_has_the_tokens_of_sentence_piece() {
    let answers: Answers = read(data().join("answers.json"));
    let tokenizer = load_folder(&data(), "siglip", false).unwrap();
    assert_eq!(
        (tokenizer.pad_id(), tokenizer.model_max_length(), tokenizer.masks_padding()),
        (Some(1), Some(64), false)
    );
    let wrong = |text: &String, got: Vec<u32>, expected: &Vec<u32>| {
        (got != *expected).then(|| format!("{text:?}: {got:?}, not {expected:?}"))
    };
    let whole = answers.texts.iter().zip(&answers.ids);
    let whole =
        whole.filter_map(|(text, expected)| wrong(text, ids(&tokenizer, Input::Text(text), usize::MAX), expected));
    let cut = answers.texts.iter().zip(&answers.cut_to_4);
    let cut = cut.filter_map(|(text, expected)| wrong(text, ids(&tokenizer, Input::Text(text), 4), expected));
    let pairs = answers.texts.iter().step_by(20).zip(&answers.pairs).filter_map(|(text, expected)| {
        wrong(text, ids(&tokenizer, Input::Pair(&answers.texts[0], text), usize::MAX), expected)
    });
    let wrong: Vec<_> = whole.chain(cut).chain(pairs).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), answers.texts.len());
}

/// Ranges ascend, and hold the letters of their tokens.
#[test]
fn tokens_know_their_place() {
    let tokenizer = load_folder(&data(), "siglip", false).unwrap();
    for text in ["The weather, is lovely today.", "  e\u{301} ½ \u{200b}x", "\u{200b}", "ΟΔΟΣ."] {
        let offsets = tokenizer.offsets(Input::Text(text)).unwrap();
        assert!(offsets.iter().all(|range| text.get(range.clone()).is_some()), "{text:?}: {offsets:?}");
        assert!(offsets.is_sorted_by_key(|range| range.start), "{text:?}: {offsets:?}");
    }
    let text = "The weather";
    let last = tokenizer.offsets(Input::Text(text)).unwrap().pop().unwrap();
    assert_eq!(last.end, text.len());
}

/// Loads the folder with another spiece.model.
fn with_model(bytes: &[u8]) -> Result<Tokenizer> {
    let folder = TempDir::new().unwrap();
    fs::copy(data().join("tokenizer_config.json"), folder.path().join("tokenizer_config.json")).unwrap();
    fs::write(folder.path().join("spiece.model"), bytes).unwrap();
    load_folder(folder.path(), "siglip", false)
}

#[test]
fn bad_models_of_sentence_piece_are_refused() {
    let bytes = fs::read(data().join("spiece.model")).unwrap();
    with_model(&bytes).unwrap();
    for length in [1, 2, 30, bytes.len() / 2, bytes.len() - 1] {
        let error = with_model(&bytes[..length]).err().unwrap();
        assert!(error.to_string().contains("spiece.model"), "{error}");
    }
    assert!(matches!(with_model(b""), Err(Error::InvalidConfig { .. })));
    // Fields after the others win: two settings of the trainer, a piece of bytes, and a damaged charsmap.
    for (more, message) in [
        (&[0x12, 2, 0x18, 2][..], "model_type"),
        (&[0x12, 3, 0x98, 2, 1], "byte_fallback"),
        (&[0x1A, 2, 0x20, 0], "remove_extra_whitespaces"),
        (&[0x0A, 5, 0x0A, 1, b'x', 0x18, 6], "kind"),
        (&[0x0A, 5, 0x0A, 1, b'x', 0x18, 2], "one piece for unknown"),
        (&[0x1A, 3, 0x12, 1, 0], "charsmap"),
    ] {
        let error = with_model(&[&bytes, more].concat()).err().unwrap();
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
    let folder = TempDir::new().unwrap();
    fs::copy(data().join("tokenizer_config.json"), folder.path().join("tokenizer_config.json")).unwrap();
    let error = load_folder(folder.path(), "siglip", false).err().unwrap();
    assert!(matches!(&error, Error::FileNotFound { path, .. } if path.ends_with("spiece.model")), "{error}");
}

/// Changed bytes are a typed error or another tokenizer; nothing panics or hangs.
#[test]
fn changed_models_of_sentence_piece_are_safe() {
    let bytes = fs::read(data().join("spiece.model")).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 150 + 1) {
        let mut changed = bytes.clone();
        changed[at] ^= 0xFF >> (at % 8);
        if let Ok(tokenizer) = with_model(&changed) {
            let _ = tokenizer.encode(Input::Text("The weather ½ e\u{301} 각 </s>"), "", 64);
        }
    }
}
