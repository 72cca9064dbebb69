//! Error of a folder without weights that rushlight reads, which lists the weights in other formats.

use std::path::Path;

use super::Weights;
use crate::error::Error;

/// Extensions of weights in other formats, and of adapters and shards without an index.
const ENDINGS: [&str; 9] = ["safetensors", "bin", "h5", "msgpack", "onnx", "gguf", "ot", "ckpt", "xml"];

/// Folders that hold other formats.
const FOLDERS: [&str; 3] = ["", "onnx", "openvino"];

/// File that training leaves beside the weights.
const NO_WEIGHTS: &str = "training_args.bin";

/// Returns the error for a module's folder without weights.
pub(super) fn error(folder: &Path) -> Error {
    let [expected, others @ ..] = Weights::NAMES;
    let mut needed = format!("the module's weights; {} would do too", others.join(", "));
    let there = other_weights(folder);
    if !there.is_empty() {
        let there = there.join(", ");
        needed
            .push_str(&format!(". What is there isn't read: {there}; transformers' save_pretrained writes {expected}"));
    }
    Error::FileNotFound { path: folder.join(expected), needed }
}

/// Returns the relative paths of files of weights in a module's folder.
fn other_weights(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for parent in FOLDERS.map(Path::new) {
        for entry in folder.join(parent).read_dir().into_iter().flatten().flatten() {
            let path = parent.join(entry.file_name());
            let ending = path.extension().and_then(|ending| ending.to_str());
            if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !path.ends_with(NO_WEIGHTS) {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort_unstable();
    found
}
