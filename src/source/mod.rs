//! Where a model's folder comes from: a path, or a name in the Hugging Face cache.
//!
//! Environment variables that say where models are, are read here and nowhere else.

mod cache;

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

pub(crate) use cache::CacheLocation;

/// Names without an organization that are transformers' own models; any other is one of sentence-transformers'.
const TRANSFORMERS_OWN: &[&str] = &[
    "albert-base-v1",
    "albert-base-v2",
    "albert-large-v1",
    "albert-large-v2",
    "albert-xlarge-v1",
    "albert-xlarge-v2",
    "albert-xxlarge-v1",
    "albert-xxlarge-v2",
    "bert-base-cased",
    "bert-base-cased-finetuned-mrpc",
    "bert-base-chinese",
    "bert-base-german-cased",
    "bert-base-german-dbmdz-cased",
    "bert-base-german-dbmdz-uncased",
    "bert-base-multilingual-cased",
    "bert-base-multilingual-uncased",
    "bert-base-uncased",
    "bert-large-cased",
    "bert-large-cased-whole-word-masking",
    "bert-large-cased-whole-word-masking-finetuned-squad",
    "bert-large-uncased",
    "bert-large-uncased-whole-word-masking",
    "bert-large-uncased-whole-word-masking-finetuned-squad",
    "camembert-base",
    "ctrl",
    "distilbert-base-cased",
    "distilbert-base-cased-distilled-squad",
    "distilbert-base-german-cased",
    "distilbert-base-multilingual-cased",
    "distilbert-base-uncased",
    "distilbert-base-uncased-distilled-squad",
    "distilbert-base-uncased-finetuned-sst-2-english",
    "distilgpt2",
    "distilroberta-base",
    "gpt2",
    "gpt2-large",
    "gpt2-medium",
    "gpt2-xl",
    "openai-gpt",
    "roberta-base",
    "roberta-base-openai-detector",
    "roberta-large",
    "roberta-large-mnli",
    "roberta-large-openai-detector",
    "t5-11b",
    "t5-3b",
    "t5-base",
    "t5-large",
    "t5-small",
    "transfo-xl-wt103",
    "xlm-clm-ende-1024",
    "xlm-clm-enfr-1024",
    "xlm-mlm-100-1280",
    "xlm-mlm-17-1280",
    "xlm-mlm-en-2048",
    "xlm-mlm-ende-1024",
    "xlm-mlm-enfr-1024",
    "xlm-mlm-enro-1024",
    "xlm-mlm-tlm-xnli15-1024",
    "xlm-mlm-xnli15-1024",
    "xlm-roberta-base",
    "xlm-roberta-large",
    "xlm-roberta-large-finetuned-conll02-dutch",
    "xlm-roberta-large-finetuned-conll02-spanish",
    "xlm-roberta-large-finetuned-conll03-english",
    "xlm-roberta-large-finetuned-conll03-german",
    "xlnet-base-cased",
    "xlnet-large-cased",
];

/// The folder that `name` means: itself where it is one, else the snapshot of that repository in the cache.
///
/// # Errors
/// [`Error::ModelNotFound`] with every place that was looked at, those where the caller has `looked` among them.
pub(crate) fn find(path: &Path, cache: &CacheLocation, revision: &str, mut looked: Vec<String>) -> Result<PathBuf> {
    if let Some(folder) = local_folder(path)? {
        return Ok(folder);
    }
    let name = path.to_string_lossy();
    looked.insert(0, format!("{name:?}: no such folder"));
    let Some(repository) = path.to_str().and_then(repository) else {
        looked.push("not a repository's name either: those are \"name\" or \"organization/name\"".to_owned());
        return Err(Error::ModelNotFound { name: name.into_owned(), looked });
    };
    cache.find(&repository, revision).map_err(|place| {
        looked.push(place);
        Error::ModelNotFound { name: name.into_owned(), looked }
    })
}

/// `name` as a folder, where it is one.
fn local_folder(path: &Path) -> Result<Option<PathBuf>> {
    let refuse =
        |what: &str| Err(Error::argument("model_name_or_path", format!("must be a model's name or folder, {what}")));
    if path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return refuse(&format!("got {path:?}"));
    }
    if path.is_file() {
        return refuse(&format!("but {path:?} is a file"));
    }
    Ok(path.is_dir().then(|| path.to_path_buf()))
}

/// `organization/name` of the repository that a name means, unless it can't be one.
fn repository(name: &str) -> Option<String> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    match name.split('/').collect::<Vec<_>>()[..] {
        _ if !plain || name.contains('\\') => None,
        [own] if TRANSFORMERS_OWN.contains(&own.to_lowercase().as_str()) => Some(own.to_owned()),
        [single] => Some(format!("sentence-transformers/{single}")),
        [organization, single] if !organization.is_empty() && !single.is_empty() => Some(name.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_repositories_by_the_references_rules() {
        assert_eq!(repository("all-MiniLM-L6-v2").as_deref(), Some("sentence-transformers/all-MiniLM-L6-v2"));
        assert_eq!(repository("bert-base-uncased").as_deref(), Some("bert-base-uncased"));
        assert_eq!(repository("BAAI/bge-m3").as_deref(), Some("BAAI/bge-m3"));
        for wrong in ["a/b/c", "../x", "/x", "a/", "./x", "a\\b", "~/../x"] {
            assert_eq!(repository(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_nowhere_is_told_with_every_place() {
        let cache = CacheLocation { folder: PathBuf::from("nowhere-cache"), said_by: "cache_folder" };
        let error = find(Path::new("no-such-model"), &cache, "main", vec!["a wheel".to_owned()]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("no such folder") && text.contains("a wheel") && text.contains("nowhere-cache"),
            "{text}"
        );
        assert!(text.contains("models--sentence-transformers--no-such-model"), "{text}");
        assert!(matches!(find(Path::new(""), &cache, "main", vec![]), Err(Error::InvalidArgument { .. })));
        assert!(matches!(find(Path::new("Cargo.toml"), &cache, "main", vec![]), Err(Error::InvalidArgument { .. })));
    }
}
