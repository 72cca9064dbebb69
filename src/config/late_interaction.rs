//! Settings of late-interaction models for queries and documents, in the three folder layouts that exist.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::folder::transformer_file;
use super::{JsonFile, Kind, ModelSettings, ModuleEntry, ModuleKind, NormalizeConfig, is_truthy, object, truthy};
use crate::error::{Error, Result};

/// Settings of a late-interaction model.
#[derive(Debug, Default)]
pub(crate) struct LateInteraction {
    pub(crate) expansion: Option<Expansion>,
    /// Maximum tokens of a query without expansion.
    pub(crate) query_length: Option<usize>,
    pub(crate) document_length: Option<usize>,
    /// Words whose tokens are left out of the result.
    pub(crate) skiplist: Vec<String>,
    pub(crate) skips_in_queries: bool,
    pub(crate) skips_in_documents: bool,
    /// Ids of the only tokens of documents that are kept; `None` means all.
    pub(crate) kept_in_documents: Option<Vec<u32>>,
    /// Prefixes of queries and documents in older layouts; each is one token if the vocabulary has it.
    pub(crate) prefixes: Option<[String; 2]>,
    /// File that holds the lengths, for messages.
    pub(crate) file: PathBuf,
}

/// Query expansion: padding of queries with a token.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expansion {
    pub(crate) strategy: Strategy,
    /// True if the other tokens attend to the expansion tokens.
    #[serde(default)]
    pub(crate) attend: bool,
    /// The expansion token; `None` means the mask token.
    #[serde(default)]
    pub(crate) token: Option<String>,
    pub(crate) length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Strategy {
    /// Exactly `length` tokens: longer queries are cut.
    Fixed,
    /// At least `length` tokens.
    Min,
}

/// Default length of a query in ColBERT.
const QUERY_LENGTH: usize = 32;
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

fn punctuation() -> Vec<String> {
    PUNCTUATION.chars().map(String::from).collect()
}

/// PyLate's keys in `config_sentence_transformers.json`: before sentence-transformers 5, only they identify its folders.
const PYLATE_KEYS: [&str; 9] = [
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "query_prefix",
    "document_prefix",
    "skiplist_words",
];

/// Modules that older folders have without listing them: they skip words and normalize vectors.
const IMPLIED: [ModuleKind; 2] = [ModuleKind::MultiVectorMask, ModuleKind::Normalize];

/// Origin of a folder with `modules.json`, by its `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Native,
    PyLate,
    /// A sentence embedding model whose projection is applied to each token. Its `model_type` may be absent.
    Sentences,
}

impl Origin {
    fn read(folder: &Path) -> Result<Self> {
        let (settings, _) = ModelSettings::read(folder)?;
        Ok(match settings.model_type.as_deref() {
            Some("ColBERT") => Self::PyLate,
            Some(name) if Kind::named(name) != Some(Kind::Sentence) => Self::Native,
            _ => Self::Sentences,
        })
    }
}

/// Returns a folder's modules: the listed ones, and those that older folders imply. A listed Normalize of sentence
/// embeddings does nothing, so it is dropped.
///
/// # Errors
/// [`Error::Unsupported`] if nothing identifies the folder as a late-interaction model: its projection would be random.
pub(crate) fn with_implied(folder: &Path, modules: Vec<ModuleEntry>) -> Result<Vec<ModuleEntry>> {
    let mut listed = Vec::with_capacity(modules.len());
    for entry in modules {
        if entry.kind != ModuleKind::Normalize || !NormalizeConfig::is_of_sentences(&entry.folder)? {
            listed.push(entry);
        }
    }
    let origin = Origin::read(folder)?;
    let lists = |kind| listed.iter().any(|entry| entry.kind == kind);
    if origin == Origin::Sentences && (lists(ModuleKind::Pooling) || !lists(ModuleKind::Dense)) {
        let what = format!("{}: for MultiVectorModel, modules", folder.join("modules.json").display());
        let got: Vec<_> = listed.iter().map(|entry| entry.kind.name()).collect();
        let supported =
            "Transformer and Dense without Pooling, where config_sentence_transformers.json names no model_type";
        return Err(Error::unsupported(what, got.join(", "), supported));
    }
    if origin != Origin::Native {
        for kind in IMPLIED {
            // No folder has this name, so the settings are the defaults.
            listed.push(ModuleEntry::new(kind, folder.join("implied").join(kind.name())));
        }
    }
    Ok(listed)
}

/// Upper bound of the length of expanded queries. Published models have up to 512.
const MAX_EXPANDED: usize = 1 << 16;

impl LateInteraction {
    /// Reads a folder in the layout of Stanford's ColBERT, of PyLate, or of sentence-transformers.
    pub(crate) fn read(folder: &Path, transformer: &Path, entries: Option<&[ModuleEntry]>) -> Result<Self> {
        match entries {
            None => Self::read_stanford(folder),
            Some(entries) => {
                let origin = Origin::read(folder)?;
                let implied = if origin == Origin::Native { 0 } else { IMPLIED.len() };
                let listed = &entries[..entries.len().saturating_sub(implied)];
                Self::native(transformer, listed)?.with_pylate_keys(folder, transformer, origin)
            }
        }
    }

    fn read_stanford(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(default)]
        struct Raw {
            query_token_id: String,
            doc_token_id: String,
            query_maxlen: Option<usize>,
            doc_maxlen: Option<usize>,
            #[serde(deserialize_with = "truthy")]
            attend_to_mask_tokens: bool,
            #[serde(deserialize_with = "truthy")]
            mask_punctuation: bool,
        }
        impl Default for Raw {
            fn default() -> Self {
                Self {
                    query_token_id: "[unused0]".to_owned(),
                    doc_token_id: "[unused1]".to_owned(),
                    query_maxlen: None,
                    doc_maxlen: None,
                    attend_to_mask_tokens: false,
                    mask_punctuation: true,
                }
            }
        }
        let path = folder.join("artifact.metadata");
        let parse = |file: JsonFile| file.or_default(&["query_token_id", "doc_token_id", "query_maxlen"]).parse();
        let raw = JsonFile::read_if_there(path.clone())?.map_or_else(|| Ok(Raw::default()), parse)?;
        Self {
            expansion: Some(Expansion {
                strategy: Strategy::Fixed,
                attend: raw.attend_to_mask_tokens,
                token: None,
                length: raw.query_maxlen.unwrap_or(QUERY_LENGTH),
            }),
            document_length: raw.doc_maxlen,
            skiplist: if raw.mask_punctuation { punctuation() } else { Vec::new() },
            skips_in_documents: true,
            prefixes: Some([format!("{} ", raw.query_token_id), format!("{} ", raw.doc_token_id)]),
            file: path,
            ..Self::default()
        }
        .checked()
    }

    /// Adds PyLate's keys of the whole model, unless the transformer's own settings have them.
    fn with_pylate_keys(mut self, folder: &Path, transformer: &Path, origin: Origin) -> Result<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Raw {
            query_prefix: Option<String>,
            document_prefix: Option<String>,
            query_length: Option<usize>,
            document_length: Option<usize>,
            query_expansion: Option<Expansion>,
            skiplist_words: Option<Vec<String>>,
        }
        let has = |file: &Option<JsonFile>, key: &str| file.as_ref().is_some_and(|file| file.value.get(key).is_some());
        let pylate = |file: &Option<JsonFile>| PYLATE_KEYS.iter().any(|key| has(file, key));
        let file = JsonFile::read_if_there(folder.join("config_sentence_transformers.json"))?;
        let own = transformer_file(transformer)?;
        let or_default =
            |file: &JsonFile| file.clone().or_default(&["query_prefix", "document_prefix", "query_length"]);
        let raw = file.as_ref().map_or_else(|| Ok(Raw::default()), |file| or_default(file).parse::<Raw>())?;
        let value = |key: &str| file.as_ref().and_then(|file| file.value.get(key));
        if !has(&own, "query_expansion") {
            // Only false turns it off: null and 0 don't.
            let expands = pylate(&file) && value("do_query_expansion") != Some(&Value::Bool(false));
            let attend = ["attend_to_expansion_tokens", "attend_to_mask_tokens"].into_iter().find_map(value);
            self.expansion = match has(&file, "query_expansion") {
                true => raw.query_expansion,
                false => expands.then(|| Expansion {
                    strategy: Strategy::Fixed,
                    attend: attend.is_some_and(is_truthy),
                    token: None,
                    length: raw.query_length.unwrap_or(QUERY_LENGTH),
                }),
            };
        }
        if !has(&own, "query_length") {
            self.query_length = raw.query_length;
        }
        if !has(&own, "document_length") {
            self.document_length = raw.document_length;
        }
        let marked = has(&file, "query_prefix") || has(&file, "document_prefix");
        if marked {
            self.prefixes = Some([raw.query_prefix, raw.document_prefix].map(Option::unwrap_or_default));
        }
        let words = match origin {
            Origin::Native => Vec::new(),
            Origin::Sentences if !marked => raw.skiplist_words.unwrap_or_default(),
            Origin::Sentences | Origin::PyLate => raw.skiplist_words.unwrap_or_else(punctuation),
        };
        self.skips_in_documents |= !words.is_empty();
        self.skiplist.extend(words);
        if pylate(&file) {
            self.file = folder.join("config_sentence_transformers.json");
        }
        self.checked()
    }

    fn native(transformer: &Path, entries: &[ModuleEntry]) -> Result<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Raw {
            query_length: Option<usize>,
            document_length: Option<usize>,
            query_expansion: Option<Expansion>,
        }
        let file = transformer_file(transformer)?;
        let raw = file.as_ref().map_or_else(|| Ok(Raw::default()), JsonFile::parse::<Raw>)?;
        let mut all = Self {
            expansion: raw.query_expansion,
            query_length: raw.query_length,
            document_length: raw.document_length,
            file: file.map_or_else(|| transformer.join("sentence_bert_config.json"), |file| file.path),
            ..Self::default()
        };
        for entry in entries.iter().filter(|entry| entry.kind == ModuleKind::MultiVectorMask) {
            all.read_mask(&entry.folder)?;
        }
        Ok(all)
    }

    /// Reads the `config.json` of a MultiVectorMask module.
    fn read_mask(&mut self, folder: &Path) -> Result<()> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Tasks {
            One(String),
            Several(Vec<String>),
        }
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            skiplist_words: Option<Vec<String>>,
            #[serde(default)]
            skiplist_tasks: Option<Tasks>,
            #[serde(default)]
            keep_only_token_ids: Option<Vec<u32>>,
        }
        let file = JsonFile::read(folder.join("config.json"), "a MultiVectorMask module needs it")?;
        let raw: Raw = file.parse()?;
        file.knows(&["skiplist_words", "skiplist_tasks", "keep_only_token_ids"])?;
        let tasks = match raw.skiplist_tasks {
            None => vec!["document".to_owned()],
            Some(Tasks::One(task)) => vec![task],
            Some(Tasks::Several(tasks)) => tasks,
        };
        self.skiplist = raw.skiplist_words.unwrap_or_default();
        // An empty list keeps all, as in sentence-transformers.
        self.kept_in_documents = raw.keep_only_token_ids.filter(|ids| !ids.is_empty());
        self.skips_in_queries = tasks.iter().any(|task| task == "query");
        self.skips_in_documents = tasks.iter().any(|task| task == "document");
        Ok(())
    }

    /// Returns the `config.json` of a MultiVectorMask module with these settings.
    pub(crate) fn mask_settings(&self) -> Value {
        let tasks = [(self.skips_in_queries, "query"), (self.skips_in_documents, "document")];
        let tasks: Vec<_> = tasks.iter().filter(|(skips, _)| *skips).map(|(_, task)| *task).collect();
        json!({
            "skiplist_words": self.skiplist,
            "skiplist_tasks": tasks,
            "keep_only_token_ids": self.kept_in_documents,
        })
    }

    /// Returns the keys for the transformer's settings, with the lengths in use.
    pub(crate) fn transformer_settings(
        &self,
        query_length: Option<usize>,
        document_length: Option<usize>,
    ) -> Map<String, Value> {
        object([
            ("query_length", json!(query_length)),
            ("document_length", json!(document_length)),
            ("query_expansion", json!(self.expansion)),
        ])
    }

    fn checked(self) -> Result<Self> {
        let lengths = [
            ("query length", self.expansion.as_ref().map(|expansion| expansion.length)),
            ("query length", self.query_length),
            ("document length", self.document_length),
        ];
        if let Some((key, _)) = lengths.iter().find(|(_, length)| *length == Some(0)) {
            return Err(Error::config(self.file, *key, "must be at least 1, got 0"));
        }
        let expanded = self.expansion.as_ref().map_or(0, |expansion| expansion.length);
        if expanded > MAX_EXPANDED {
            let problem = format!("must be at most {MAX_EXPANDED} with query expansion, got {expanded}");
            return Err(Error::config(self.file, "query length", problem));
        }
        Ok(self)
    }
}
