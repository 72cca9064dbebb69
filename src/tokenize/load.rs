//! Loading a tokenizer from its folder.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;
use tokenizers::normalizers::Lowercase;
use tokenizers::{ModelWrapper, PaddingDirection, PostProcessorWrapper, TruncationDirection};

use super::class::{Class, DefaultClass};
use super::difference::{FiledSteps, TokenizerDifference};
use super::files::{JsonObject, TokenizerFile, VocabularyFiles};
use super::layout::Layouts;
use super::special::SpecialTokens;
use super::steps::{Normalizer, Steps};
use super::{Tokenizer, rebuild};
use crate::catch_panic::catch_panic;
use crate::config::as_integer;
use crate::error::{Error, Result};

/// Settings of a transformer's tokenizer beside its files.
#[derive(Clone, Copy, Default)]
pub(crate) struct TokenizerSettings {
    /// Lowercases before all other steps: sentence_bert_config.json's.
    pub(crate) do_lower_case: bool,
    /// Overrides tokenizer_config.json's length: sentence_bert_config.json's.
    pub(crate) max_seq_length: Option<usize>,
    /// Takes the steps of tokenizer.json instead of the class's.
    pub(crate) as_filed: bool,
}

impl Tokenizer {
    /// Loads the tokenizer of a transformer's folder. `default` goes with the architecture.
    pub(crate) fn load(folder: &Path, default: DefaultClass, settings: TokenizerSettings) -> Result<Self> {
        let config = JsonObject::read(&folder.join("tokenizer_config.json"))?;
        refuse_other_files(&config)?;
        // An unsupported class is no obstacle where its steps have no use.
        let class = if settings.as_filed { Class::generic() } else { Class::of(folder, &config, default)? };
        let file = TokenizerFile::read_any(folder, class.vocabulary_files)?;
        let class = class.of_file(&file);
        let filed = FiledSteps::of(class, &file);
        let tokenizer = Self::build(folder, &config, class, file, settings)?;
        let difference = match filed.filter(|filed| filed.may_differ(&tokenizer)) {
            // A file whose own steps don't load has no tokens to compare with.
            Some(_) => {
                let file = TokenizerFile::read_any(folder, VocabularyFiles::None)?;
                let as_filed = Self::build(folder, &config, Class::generic(), file, settings).ok();
                as_filed.and_then(|as_filed| TokenizerDifference::find(class, &tokenizer, &as_filed))
            }
            None => None,
        };
        Ok(Self { difference, ..tokenizer })
    }

    fn build(
        folder: &Path,
        config: &JsonObject,
        class: &Class,
        file: TokenizerFile,
        settings: TokenizerSettings,
    ) -> Result<Self> {
        let TokenizerSettings { do_lower_case, max_seq_length, .. } = settings;
        let special = SpecialTokens::collect(folder, config, &file, class)?;
        let padded_left = file.padding.as_ref().map(|padding| matches!(padding.direction, PaddingDirection::Left));
        let cut_left = file.truncation.as_ref().map(|cut| matches!(cut.direction, TruncationDirection::Left));
        let path = file.path.clone();

        let mut inner = class.build(file, config, &special)?;
        special.register(&mut inner).map_err(|problem| Error::config(&path, "added_tokens", problem))?;
        inner.set_encode_special_tokens(config.flag("split_special_tokens", false)?);
        let layouts = class.layouts(&inner, &path, config, &special)?;
        inner.with_post_processor(None::<PostProcessorWrapper>);
        if do_lower_case {
            lowercase_first(&mut inner)?;
        }
        Ok(Self {
            special_ids: special.ids(&inner),
            token_type_ids: takes(config, "token_type_ids", class.token_type_ids)?,
            attention_mask: takes(config, "attention_mask", true)?,
            max_id: inner.get_vocab(true).into_values().max().unwrap_or(0).max(layouts.max_id()),
            pad_id: special.get("pad_token").and_then(|token| inner.token_to_id(token)),
            expansion_token_id: ["mask_token", "eos_token"]
                .iter()
                .find_map(|key| special.get(key))
                .and_then(|token| inner.token_to_id(token)),
            pad_left: config.left("padding_side")?.or(padded_left).unwrap_or(class.pad_left),
            cut_left: config.left("truncation_side")?.or(cut_left).unwrap_or(false),
            model_max_length: match max_seq_length {
                Some(length) => Some(length),
                None => model_max_length(config)?,
            },
            strips: false,
            limit: None,
            model2vec: None,
            cleans_up_spaces: config.truthy("clean_up_tokenization_spaces", false)
                && !matches!(inner.get_model(), ModelWrapper::BPE(_)),
            word_end: class.word_end,
            ends_once: class.ends_once(&special).and_then(|token| inner.token_to_id(token)),
            inner,
            layouts,
            promoted: Vec::new(),
            difference: None,
            special_tokens: special.by_role(),
        })
    }

    /// Loads a tokenizer.json as it is, including its truncation, for models without special tokens.
    pub(crate) fn load_as_filed(folder: &Path) -> Result<Self> {
        let file = TokenizerFile::read_any(folder, VocabularyFiles::None)?;
        let cut_left = file.truncation.as_ref().map(|cut| matches!(cut.direction, TruncationDirection::Left));
        let limit = file.truncation.as_ref().map(|cut| cut.max_length);
        let (config, special) = (JsonObject::empty(&file.path), SpecialTokens::none());
        let mut inner = rebuild::as_filed(rebuild::Source { file, config: &config, special: &special })?;
        inner.with_post_processor(None::<PostProcessorWrapper>);
        Ok(Self {
            special_ids: HashSet::new(),
            token_type_ids: false,
            attention_mask: true,
            max_id: inner.get_vocab(true).into_values().max().unwrap_or(0),
            pad_id: None,
            expansion_token_id: None,
            pad_left: false,
            cut_left: cut_left.unwrap_or(false),
            model_max_length: None,
            strips: false,
            limit,
            model2vec: None,
            cleans_up_spaces: false,
            word_end: None,
            ends_once: None,
            inner,
            layouts: Layouts::bare(),
            promoted: Vec::new(),
            difference: None,
            special_tokens: Vec::new(),
        })
    }
}

/// Refuses obsolete settings that name other files to read.
fn refuse_other_files(config: &JsonObject) -> Result<()> {
    for key in ["fast_tokenizer_files", "init_inputs"] {
        if config.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            return Err(config.error(key, "must be absent or empty: other tokenizer files are not supported"));
        }
    }
    Ok(())
}

/// Puts a lowercasing step first, unless the tokenizer has one.
fn lowercase_first(tokenizer: &mut Steps) -> Result<()> {
    catch_panic(|| {
        let normalizer = match tokenizer.get_normalizer() {
            Some(steps) => steps.clone().lowercasing(),
            None => Normalizer::new(Lowercase.into())?,
        };
        tokenizer.with_normalizer(Some(normalizer)).map(drop)
    })
    .map_err(Error::Tokenizer)
}

/// Returns true if the model gets an input of this name.
fn takes(config: &JsonObject, input: &str, default: bool) -> Result<bool> {
    match config.get("model_input_names") {
        None => Ok(default),
        Some(Value::Array(names)) => Ok(names.iter().any(|name| name == input)),
        Some(other) => Err(config.mismatch("model_input_names", "a list", other)),
    }
}

/// Returns `model_max_length`, or `max_len`, its older name.
fn model_max_length(config: &JsonObject) -> Result<Option<usize>> {
    /// Numbers from here on mean "no limit": transformers writes 1e30.
    const NO_LIMIT: f64 = 1e20;
    let key = if config.get("model_max_length").is_some() { "model_max_length" } else { "max_len" };
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) if number.as_f64().is_some_and(|number| number >= NO_LIMIT) => Ok(None),
        Some(value) => match as_integer(value).filter(|&length| length > 0) {
            Some(length) => Ok(usize::try_from(length).ok()),
            None => Err(config.error(key, format!("must be an integer of at least 1, got {value}"))),
        },
    }
}
