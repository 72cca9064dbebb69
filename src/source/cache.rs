//! The cache of downloaded models, shared with Python's huggingface_hub: `models--organization--name` with `refs/`,
//! `snapshots/` and `blobs/`.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::needed_files;
use crate::config::{JsonFile, ModuleEntry, ModuleKind, Routes, modules};

/// A cache's folder, and the setting that chose it.
#[derive(Clone, Debug)]
pub(crate) struct CacheLocation {
    pub(crate) folder: PathBuf,
    pub(crate) chosen_by: &'static str,
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| expand_home(Path::new(&value)))
}

/// Returns the folder of Hugging Face's files: `HF_HOME`, else one in `XDG_CACHE_HOME` or the home folder.
pub(super) fn hugging_face_home() -> PathBuf {
    variable("HF_HOME").unwrap_or_else(|| {
        let home = || std::env::home_dir().unwrap_or_default().join(".cache");
        variable("XDG_CACHE_HOME").unwrap_or_else(home).join("huggingface")
    })
}

impl CacheLocation {
    /// Chooses the cache by `cache_folder`, else `SENTENCE_TRANSFORMERS_HOME`, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, or
    /// the home folder.
    pub(crate) fn choose(cache_folder: Option<&Path>) -> Self {
        if let Some(folder) = cache_folder {
            return Self { folder: folder.to_path_buf(), chosen_by: "cache_folder" };
        }
        for name in ["SENTENCE_TRANSFORMERS_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            if let Some(folder) = variable(name) {
                return Self { folder, chosen_by: name };
            }
        }
        let variable_name = ["HF_HOME", "XDG_CACHE_HOME"].into_iter().find(|name| variable(name).is_some());
        Self { folder: hugging_face_home().join("hub"), chosen_by: variable_name.unwrap_or("the default") }
    }

    /// Returns the part of the cache that holds a repository, `organization/name`.
    pub(super) fn repository(&self, name: String) -> Repository {
        let folder_name = format!("models--{}", name.replace('/', "--"));
        Repository { folder: self.folder.join(&folder_name), locks: self.folder.join(".locks").join(folder_name), name }
    }
}

/// A repository's part of the cache.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "names and locks are for downloading"))]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// Folder of lock files, which concurrent downloads share.
    pub(super) locks: PathBuf,
}

/// State of a revision in the cache.
#[derive(Debug)]
pub(super) enum SnapshotState {
    /// All files that loading needs, according to the hub's list of the commit's files.
    Complete(PathBuf),
    /// All files that its configs mention. Another program downloaded them, so the repository may have more.
    Unlisted(Unlisted),
    /// Missing or incomplete; the text names the missing files.
    Absent(String),
}

/// A snapshot without the hub's list of files.
#[derive(Debug)]
pub(super) struct Unlisted {
    pub(super) commit: String,
    pub(super) snapshot: PathBuf,
    /// Reason why the files may make another model than the repository's.
    pub(super) doubt: Option<String>,
}

/// Returns true if an untrusted name stays below the folder that it is joined to.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\0')
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Repository {
    /// Returns the folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Returns the folder of empty files that mark files as absent from a commit. Python's client writes one for each file that
    /// the hub doesn't have.
    fn known_absent(&self, commit: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit)
    }

    /// Returns the file in which rushlight keeps the hub's list of a commit's files.
    pub(super) fn list(&self, commit: &str) -> PathBuf {
        self.folder.join(".rushlight").join(format!("{commit}.json"))
    }

    /// Returns the file that holds the commit of a branch or tag.
    pub(super) fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }

    /// Returns the state of a revision: a branch, a tag or a commit.
    pub(super) fn state(&self, revision: &str) -> SnapshotState {
        if !self.folder.is_dir() {
            return SnapshotState::Absent("no such folder".to_owned());
        }
        if !is_plain(revision) {
            return SnapshotState::Absent(format!("revision {revision:?} must be a branch, a tag or a commit"));
        }
        let commit = std::fs::read_to_string(self.reference(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |commit| commit.trim().to_owned());
        let snapshot = self.snapshot(&commit);
        if !is_plain(&commit) || !snapshot.is_dir() {
            return SnapshotState::Absent(format!("no snapshot of revision {revision:?}"));
        }
        let list = JsonFile::read_if_there(self.list(&commit)).ok().flatten();
        let list: Option<Vec<String>> = list.and_then(|list| serde_json::from_value(list.value).ok());
        let missing = match &list {
            Some(all) => {
                let absent =
                    needed_files::of_snapshot(all, &snapshot).into_iter().find(|file| !snapshot.join(file).exists());
                absent.or_else(|| missing_file(&snapshot).filter(|file| all.contains(file)))
            }
            None => missing_file(&snapshot),
        };
        match missing {
            Some(file) => SnapshotState::Absent(format!("the snapshot of revision {revision:?} has no {file}")),
            None if list.is_some() => SnapshotState::Complete(snapshot),
            None => {
                let doubt = self.never_asked_for(&commit, &snapshot).map(|file| {
                    let folder = snapshot.display();
                    format!(
                        "the snapshot of revision {revision:?} has no {file}, and the repository may have it; to load the \
                         files as they are, pass the folder {folder}"
                    )
                });
                SnapshotState::Unlisted(Unlisted { commit, snapshot, doubt })
            }
        }
    }

    /// Returns a file that decides how to load the model, and that is neither present nor marked as absent. transformers alone
    /// leaves such snapshots of sentence-transformers models: it downloads file by file, and marks absent ones.
    fn never_asked_for(&self, commit: &str, snapshot: &Path) -> Option<String> {
        let marks = self.known_absent(commit);
        let exists = |name: &str| snapshot.join(name).exists();
        // Older versions of rushlight downloaded whole snapshots and marked these.
        let ours = ["modules.json", "config_sentence_transformers.json"].map(OsStr::new);
        let mut names = std::fs::read_dir(&marks).into_iter().flatten().flatten();
        let one_by_one = names.any(|mark| !ours.contains(&&*mark.file_name()));
        // Only programs that download every file have these.
        if !one_by_one || exists(".gitattributes") || (exists("README.md") && !exists("modules.json")) {
            return None;
        }
        let mut decisive = Vec::new();
        let transformer = match modules(snapshot).ok()? {
            Some(entries) => {
                decisive.push("config_sentence_transformers.json".to_owned());
                let first = entries.into_iter().next()?;
                (first.kind != ModuleKind::MlmTransformer && first.kind.is_transformer()).then_some(first.folder)?
            }
            None => {
                // Older versions of sentence-transformers don't ask for modules.json of cross-encoders.
                if !is_classifier(snapshot) {
                    decisive.push("modules.json".to_owned());
                }
                snapshot.to_path_buf()
            }
        };
        let folder = transformer.strip_prefix(snapshot).ok()?;
        decisive.push(folder.join("tokenizer_config.json").display().to_string());
        decisive.into_iter().find(|file| !exists(file) && !marks.join(file).exists())
    }
}

fn is_classifier(snapshot: &Path) -> bool {
    let config = JsonFile::read_if_there(snapshot.join("config.json")).ok().flatten();
    let architecture = config.as_ref().and_then(JsonFile::architecture);
    architecture.is_some_and(|name| name.ends_with("ForSequenceClassification"))
}

/// Returns a file that the model in a folder lacks, as far as its configs tell. Interrupted or partial downloads leave such
/// folders.
pub(super) fn missing_file(snapshot: &Path) -> Option<String> {
    // Loading reports malformed files.
    let entries = modules(snapshot).ok()?;
    let entries = entries.unwrap_or_else(|| vec![ModuleEntry::new(ModuleKind::Transformer, snapshot.to_path_buf())]);
    let file = missing_in(&entries)?;
    Some(file.strip_prefix(snapshot).unwrap_or(&file).display().to_string())
}

/// Returns a file that one of these modules lacks.
fn missing_in(modules: &[ModuleEntry]) -> Option<PathBuf> {
    use ModuleKind::{
        Dense, LayerNorm, MlmTransformer, MultiVectorMask, Pooling, Router, SparseStaticEmbedding, SpladePooling,
        StaticEmbedding, TaskTransformer, Transformer, WeightedLayerPooling,
    };
    modules.iter().find_map(|ModuleEntry { kind, folder, .. }| {
        let absent = |name: &str| Some(folder.join(name)).filter(|file| !file.exists());
        match kind {
            Transformer | TaskTransformer | MlmTransformer => {
                absent("config.json").or_else(|| missing_weights(folder)).or_else(|| missing_tokenizer(folder))
            }
            StaticEmbedding | SparseStaticEmbedding => missing_weights(folder).or_else(|| missing_tokenizer(folder)),
            Dense | LayerNorm | WeightedLayerPooling => absent("config.json").or_else(|| missing_weights(folder)),
            Pooling | SpladePooling | MultiVectorMask => absent("config.json"),
            Router => absent("router_config.json").or_else(|| {
                let Routes { query, document, .. } = Routes::read(folder).ok()?;
                // Loading refuses routers in routes. One in its own folder would have no end.
                let mut modules = [query, document].concat();
                modules.retain(|entry| !entry.kind.is_router());
                missing_in(&modules)
            }),
            _ => None,
        }
    })
}

/// Returns a missing file of weights: a single file, or a shard that an index lists.
fn missing_weights(folder: &Path) -> Option<PathBuf> {
    for name in ["model.safetensors", "pytorch_model.bin"] {
        if folder.join(name).exists() {
            return None;
        }
        if let Some(index) = JsonFile::read_if_there(folder.join(format!("{name}.index.json"))).ok()? {
            let shards = index.value.get("weight_map")?.as_object()?.values().filter_map(|shard| shard.as_str());
            return shards.map(|shard| folder.join(shard)).find(|shard| !shard.exists());
        }
    }
    Some(folder.join("model.safetensors"))
}

fn missing_tokenizer(folder: &Path) -> Option<PathBuf> {
    const FILES: [&str; 6] =
        ["tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"];
    let exists = FILES.iter().any(|name| folder.join(name).exists());
    (!exists).then(|| folder.join("tokenizer.json"))
}

/// Expands a leading `~` to the home folder, as Python's client does.
fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests;
