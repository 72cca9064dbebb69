//! Selection of the files of a repository that a model needs.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::config::{COLBERT_LINEAR, IDF, JsonFile, PeftConfig, SPARSE_LINEAR, TemplateSource};
use crate::images::PROCESSOR_FILES;
use crate::weights::{ADAPTER_FILES, Weights};

/// Files that list the folders of a model's modules.
pub(super) const LAYOUT: [&str; 2] = ["modules.json", "router_config.json"];

/// Files of a module, or of the whole model, other than the module's own weights.
const FILES: [&str; 23] = [
    "README.md",
    "added_tokens.json",
    "artifact.metadata",
    TemplateSource::FILE,
    PeftConfig::FILE,
    ADAPTER_FILES[0],
    ADAPTER_FILES[1],
    "config.json",
    "config_sentence_transformers.json",
    "merges.txt",
    PROCESSOR_FILES[0],
    PROCESSOR_FILES[1],
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    IDF,
    SPARSE_LINEAR,
    COLBERT_LINEAR,
];

/// Selects the files to download out of `all`, by the [`LAYOUT`] files of a snapshot.
pub(super) fn of_snapshot(all: &[String], snapshot: &Path) -> Vec<String> {
    // Loading reports malformed files.
    let read = |name: &str| Some(JsonFile::read_if_there(snapshot.join(name)).ok()??.value);
    let [modules, router] = LAYOUT.map(read);
    files(all, &folders(all, modules.as_ref(), router.as_ref()))
}

/// Returns the folders of the modules that the [`LAYOUT`] files list; "" is the repository itself. A Router after other
/// modules has the modules of its routes in its folder.
fn folders(all: &[String], modules: Option<&Value>, router: Option<&Value>) -> BTreeSet<String> {
    let listed: Vec<&Value> = modules.and_then(Value::as_array).into_iter().flatten().collect();
    let text = |entry: &&'_ Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_router = |class: &String| ["Asym", "Router"].contains(&class.rsplit('.').next().unwrap_or_default());
    let routers = listed.iter().filter(|entry| text(entry, "type").as_ref().is_some_and(is_router));
    let routers: Vec<String> =
        routers.filter_map(|entry| text(entry, "path")).filter(|path| !path.is_empty()).collect();
    let parents = all.iter().filter_map(|file| Some(file.rsplit_once('/')?.0));
    let routed = parents.filter(|parent| routers.iter().any(|path| parent.starts_with(&format!("{path}/"))));
    let paths = listed.iter().filter_map(|entry| entry.get("path")?.as_str()).chain(routed);
    let routes = router.and_then(|router| router.get("types")?.as_object()).into_iter().flatten();
    let named = paths.chain(routes.map(|(path, _)| path.as_str()));
    named.chain([""]).map(|path| path.trim_end_matches('/').to_owned()).collect()
}

/// Selects the files to download out of `all`: configs and tokenizers of these folders, and weights in the first format that
/// loading looks for.
fn files(all: &[String], folders: &BTreeSet<String>) -> Vec<String> {
    let existing: BTreeSet<_> = all.iter().map(String::as_str).collect();
    let mut needed: Vec<&str> = Vec::new();
    for folder in folders {
        let path = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let has = |name: &str| existing.contains(path(name).as_str());
        let in_folder = |file: &&&str| match file.rsplit_once('/') {
            Some((parent, _)) => parent == folder,
            None => folder.is_empty(),
        };
        let name = |file: &&str| file.rsplit('/').next().unwrap_or_default().to_owned();
        let weights = Weights::NAMES.into_iter().find(|name| has(name));
        needed.extend(existing.iter().filter(in_folder).copied().filter(|file| {
            let name = name(file);
            let is_settings = name.starts_with("sentence_") && name.ends_with("_config.json");
            FILES.contains(&name.as_str())
                || LAYOUT.contains(&name.as_str())
                || is_settings
                || weights.is_some_and(|weights| name == weights || is_shard(&name, weights))
        }));
    }
    needed.into_iter().map(str::to_owned).collect()
}

/// Returns true if a file is a shard of an index by its name: the name of the unsharded file with numbers in it.
fn is_shard(name: &str, index: &str) -> bool {
    let Some((stem, ending)) = index.strip_suffix(".index.json").and_then(|unsharded| unsharded.rsplit_once('.'))
    else {
        return false;
    };
    let numbers = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending)?.strip_suffix('.'));
    numbers.is_some_and(|numbers| numbers.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needed(all: &[&str], modules: Option<Value>, router: Option<Value>) -> Vec<String> {
        let all: Vec<_> = all.iter().map(|file| (*file).to_owned()).collect();
        files(&all, &folders(&all, modules.as_ref(), router.as_ref()))
    }

    #[test]
    fn only_files_that_the_modules_need_are_downloaded() {
        let modules = json!([{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense/"}, {"path": "3_Normalize"}]);
        let all = [
            ".gitattributes",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "2_Dense/pytorch_model.bin",
            "README.md",
            "checkpoint-500/config.json",
            "checkpoint-500/model.safetensors",
            "config.json",
            "config_sentence_transformers.json",
            "data_config.json",
            "flax_model.msgpack",
            "model.safetensors",
            "modules.json",
            "onnx/model.onnx",
            "onnx/config.json",
            "openvino/openvino_model.bin",
            "pytorch_model.bin",
            "rust_model.ot",
            "sentence_bert_config.json",
            "tf_model.h5",
            "tokenizer.json",
            "tokenizer_config.json",
            "train_script.py",
            "vocab.txt",
        ];
        let want = [
            "README.md",
            "config.json",
            "config_sentence_transformers.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
        ];
        assert_eq!(needed(&all, Some(modules), None), want);
    }

    #[test]
    fn weights_are_downloaded_in_one_format() {
        let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        let index = "model.safetensors.index.json";
        let torch = "pytorch_model.bin";
        assert_eq!(needed(&[shards[0], shards[1], index, torch], None, None), [shards[0], shards[1], index]);
        assert_eq!(needed(&[shards[0], "model.safetensors", index, torch], None, None), ["model.safetensors"]);
        assert_eq!(needed(&[torch, "tf_model.h5"], None, None), [torch]);
        let parts = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
        let listed = "pytorch_model.bin.index.json";
        assert_eq!(
            needed(&[parts[0], parts[1], listed, "training_args.bin"], None, None),
            [parts[0], parts[1], listed]
        );
        assert_eq!(needed(&[parts[0], torch, listed], None, None), [torch]);
        assert_eq!(needed(&[parts[0], listed, shards[0], index], None, None), [shards[0], index]);
    }

    #[test]
    fn the_folders_of_routes_are_downloaded() {
        let router = json!({"types": {"query_0_Static": "x", "document_0_Transformer": "y"}});
        let all = [
            "router_config.json",
            "query_0_Static/model.safetensors",
            "document_0_Transformer/config.json",
            "x/config.json",
        ];
        let want = ["router_config.json", "document_0_Transformer/config.json", "query_0_Static/model.safetensors"];
        assert_eq!(needed(&all, Some(json!([{"path": ""}])), Some(router)), want);
    }
}
