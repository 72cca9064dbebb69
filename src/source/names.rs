//! Names of models, and their repositories.

use std::path::{Component, Path};

/// Models of transformers whose repository has no organization. Any other such name belongs to the default organization.
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

/// Returns the repository of a name, as `organization/name`; `None` if the name is malformed.
pub(super) fn repository(name: &str, organization: &str) -> Option<String> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    match name.split('/').collect::<Vec<_>>()[..] {
        _ if !plain || name.contains('\\') => None,
        [own] if TRANSFORMERS_OWN.contains(&own.to_lowercase().as_str()) => Some(own.to_owned()),
        [single] => Some(format!("{organization}/{single}")),
        [organization, single] if !organization.is_empty() && !single.is_empty() => Some(name.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_repositories_by_the_references_rules() {
        let repository = |name| repository(name, "sentence-transformers");
        assert_eq!(repository("all-MiniLM-L6-v2").as_deref(), Some("sentence-transformers/all-MiniLM-L6-v2"));
        assert_eq!(repository("bert-base-uncased").as_deref(), Some("bert-base-uncased"));
        assert_eq!(repository("BAAI/bge-m3").as_deref(), Some("BAAI/bge-m3"));
        for wrong in ["a/b/c", "../x", "/x", "a/", "./x", "a\\b", "~/../x"] {
            assert_eq!(repository(wrong), None, "{wrong}");
        }
    }
}
