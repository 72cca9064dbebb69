//! The cache of downloaded models that Python's huggingface_hub keeps: `models--organization--name` with `refs/`,
//! `snapshots/` and `blobs/`.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::wanted;
use crate::config::{JsonFile, ModuleEntry, ModuleKind, Routes, modules};

/// A cache's folder, and what said that it is there.
#[derive(Clone, Debug)]
pub(crate) struct CacheLocation {
    pub(crate) folder: PathBuf,
    pub(crate) said_by: &'static str,
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| expand_home(Path::new(&value)))
}

/// The folder of all that Hugging Face's programs keep: `HF_HOME`, else one in `XDG_CACHE_HOME` or the home folder.
pub(super) fn hugging_face_home() -> PathBuf {
    variable("HF_HOME").unwrap_or_else(|| {
        let home = || std::env::home_dir().unwrap_or_default().join(".cache");
        variable("XDG_CACHE_HOME").unwrap_or_else(home).join("huggingface")
    })
}

impl CacheLocation {
    /// By `cache_folder`, else `SENTENCE_TRANSFORMERS_HOME`, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, or the home
    /// folder.
    pub(crate) fn choose(cache_folder: Option<&Path>) -> Self {
        if let Some(folder) = cache_folder {
            return Self { folder: folder.to_path_buf(), said_by: "cache_folder" };
        }
        for name in ["SENTENCE_TRANSFORMERS_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            if let Some(folder) = variable(name) {
                return Self { folder, said_by: name };
            }
        }
        let said = ["HF_HOME", "XDG_CACHE_HOME"].into_iter().find(|name| variable(name).is_some());
        Self { folder: hugging_face_home().join("hub"), said_by: said.unwrap_or("the default") }
    }

    /// The part of the cache that holds a repository, `organization/name`.
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
    /// Where programs that download at once keep out of each other's way.
    pub(super) locks: PathBuf,
}

/// What the cache has of a revision.
#[derive(Debug)]
pub(super) enum State {
    /// All that loading needs, by the hub's list of the commit's files.
    Complete(PathBuf),
    /// All that its configs speak of; other programs have fetched it, and don't tell whether there is more.
    Unlisted(Unlisted),
    /// Not the revision, or not all that it needs.
    Absent(String),
}

/// A snapshot without the hub's list of its files.
#[derive(Debug)]
pub(super) struct Unlisted {
    pub(super) commit: String,
    pub(super) snapshot: PathBuf,
    /// Why it may be another model than the repository's.
    pub(super) doubt: Option<String>,
}

/// Whether a name from elsewhere stays below the folder that it is joined to.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\0')
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Repository {
    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The folder of empty files that say which files a commit has not: Python's client writes one for each that it asks for in
    /// vain.
    fn known_absent(&self, commit: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit)
    }

    /// The file that holds the hub's list of a commit's files, which rushlight writes.
    pub(super) fn list(&self, commit: &str) -> PathBuf {
        self.folder.join(".rushlight").join(format!("{commit}.json"))
    }

    /// The file that holds the commit which a branch or tag was at.
    pub(super) fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }

    /// What there is of a revision: a branch, a tag or a commit.
    pub(super) fn state(&self, revision: &str) -> State {
        if !self.folder.is_dir() {
            return State::Absent("not there".to_owned());
        }
        if !is_plain(revision) {
            return State::Absent(format!("revision {revision:?} can't be one"));
        }
        let commit = std::fs::read_to_string(self.reference(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |commit| commit.trim().to_owned());
        let snapshot = self.snapshot(&commit);
        if !is_plain(&commit) || !snapshot.is_dir() {
            return State::Absent(format!("no snapshot of revision {revision:?}"));
        }
        let list = std::fs::read(self.list(&commit)).ok();
        let list: Option<Vec<String>> = list.and_then(|list| serde_json::from_slice(&list).ok());
        let lacks = match &list {
            Some(all) => {
                let absent = wanted::of_snapshot(all, &snapshot).into_iter().find(|file| !snapshot.join(file).exists());
                absent.or_else(|| lacking(&snapshot).filter(|file| all.contains(file)))
            }
            None => lacking(&snapshot),
        };
        match lacks {
            Some(file) => State::Absent(format!("the snapshot of revision {revision:?} has no {file}")),
            None if list.is_some() => State::Complete(snapshot),
            None => {
                let doubt = self.never_asked_for(&commit, &snapshot).map(|file| {
                    let folder = snapshot.display();
                    format!(
                        "the snapshot of revision {revision:?} has no {file}, and the repository may have it; to load the \
                         files as they are, give the folder {folder}"
                    )
                });
                State::Unlisted(Unlisted { commit, snapshot, doubt })
            }
        }
    }

    /// A file that decides what the model is and that is neither there nor marked as absent, although a program has asked for
    /// files one by one, marking those that the commit hasn't: as transformers alone leaves a sentence-transformers model.
    fn never_asked_for(&self, commit: &str, snapshot: &Path) -> Option<String> {
        let marks = self.known_absent(commit);
        let there = |name: &str| snapshot.join(name).exists();
        // Older versions of rushlight, which fetched whole snapshots, marked these.
        let ours = ["modules.json", "config_sentence_transformers.json"].map(OsStr::new);
        let mut names = std::fs::read_dir(&marks).into_iter().flatten().flatten();
        let one_by_one = names.any(|mark| !ours.contains(&&*mark.file_name()));
        // Only programs that fetch all that there is fetch these.
        if !one_by_one || there(".gitattributes") || (there("README.md") && !there("modules.json")) {
            return None;
        }
        let mut decisive = Vec::new();
        let transformer = match modules(snapshot).ok()? {
            Some(entries) => {
                decisive.push("config_sentence_transformers.json".to_owned());
                let first = entries.into_iter().next()?;
                (first.kind == ModuleKind::Transformer).then_some(first.folder)?
            }
            None => {
                // For cross-encoders it wasn't asked for until they had modules.
                if !is_classifier(snapshot) {
                    decisive.push("modules.json".to_owned());
                }
                snapshot.to_path_buf()
            }
        };
        let folder = transformer.strip_prefix(snapshot).ok()?;
        decisive.push(folder.join("tokenizer_config.json").display().to_string());
        decisive.into_iter().find(|file| !there(file) && !marks.join(file).exists())
    }
}

fn is_classifier(snapshot: &Path) -> bool {
    let config = JsonFile::read_if_there(snapshot.join("config.json")).ok().flatten();
    let architecture = config.as_ref().and_then(|config| config.value.pointer("/architectures/0")?.as_str());
    architecture.is_some_and(|name| name.ends_with("ForSequenceClassification"))
}

/// A file that the model in a folder needs and hasn't, as far as the configs there tell: downloads that were interrupted, or
/// fetched something else, leave such folders.
pub(super) fn lacking(snapshot: &Path) -> Option<String> {
    // What is malformed is for loading to tell.
    let entries = modules(snapshot).ok()?;
    let entries = entries.unwrap_or_else(|| vec![ModuleEntry::new(ModuleKind::Transformer, snapshot.to_path_buf())]);
    let file = lacking_in(&entries)?;
    Some(file.strip_prefix(snapshot).unwrap_or(&file).display().to_string())
}

/// As [`lacking`], of modules.
fn lacking_in(modules: &[ModuleEntry]) -> Option<PathBuf> {
    use ModuleKind::{
        Dense, LayerNorm, MlmTransformer, MultiVectorMask, Pooling, Router, SparseStaticEmbedding, SpladePooling,
        StaticEmbedding, Transformer, WeightedLayerPooling,
    };
    modules.iter().find_map(|ModuleEntry { kind, folder, .. }| {
        let absent = |name: &str| Some(folder.join(name)).filter(|file| !file.exists());
        match kind {
            Transformer | MlmTransformer => {
                absent("config.json").or_else(|| lacking_weights(folder)).or_else(|| lacking_tokenizer(folder))
            }
            StaticEmbedding | SparseStaticEmbedding => lacking_weights(folder).or_else(|| lacking_tokenizer(folder)),
            Dense | LayerNorm | WeightedLayerPooling => absent("config.json").or_else(|| lacking_weights(folder)),
            Pooling | SpladePooling | MultiVectorMask => absent("config.json"),
            Router => absent("router_config.json").or_else(|| {
                let Routes { query, document, .. } = Routes::read(folder).ok()?;
                lacking_in(&query).or_else(|| lacking_in(&document))
            }),
            _ => None,
        }
    })
}

/// Weights that are needed and absent: a single file, or the shards that an index lists.
fn lacking_weights(folder: &Path) -> Option<PathBuf> {
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

fn lacking_tokenizer(folder: &Path) -> Option<PathBuf> {
    const FILES: [&str; 6] =
        ["tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"];
    let there = FILES.iter().any(|name| folder.join(name).exists());
    (!there).then(|| folder.join("tokenizer.json"))
}

/// `~` at the beginning of a path as the home folder, as Python's client takes it.
fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(state: State) -> String {
        match state {
            State::Absent(problem) => problem,
            other => panic!("{other:?}"),
        }
    }

    /// A cache with a snapshot of `org/name` that has these files.
    fn cached(files: &[(&str, &str)]) -> (tempfile::TempDir, Repository) {
        let home = tempfile::tempdir().unwrap();
        let cache = CacheLocation { folder: home.path().to_path_buf(), said_by: "cache_folder" };
        let repository = cache.repository("org/name".to_owned());
        write(&repository.reference("main"), "abc\n");
        for (name, text) in files {
            write(&repository.snapshot("abc").join(name), text);
        }
        (home, repository)
    }

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn doubt(repository: &Repository) -> Option<String> {
        match repository.state("main") {
            State::Unlisted(unlisted) => unlisted.doubt,
            other => panic!("{other:?}"),
        }
    }

    const BERT: (&str, &str) = ("config.json", r#"{"model_type": "bert"}"#);

    #[test]
    fn snapshots_are_found_by_branch_and_by_commit() {
        let home = tempfile::tempdir().unwrap();
        let cache = CacheLocation { folder: home.path().to_path_buf(), said_by: "cache_folder" };
        assert!(absent(cache.repository("org/name".to_owned()).state("main")).contains("not there"));

        let (_home, repository) = cached(&[BERT, ("model.safetensors", ""), ("vocab.txt", "")]);
        write(&repository.reference("pr/1"), "abc");
        for revision in ["main", "abc", "pr/1"] {
            let State::Unlisted(Unlisted { commit, snapshot, doubt }) = repository.state(revision) else {
                panic!("{revision}")
            };
            assert_eq!((&*commit, doubt), ("abc", None));
            assert_eq!(snapshot, repository.snapshot("abc"));
        }
        assert!(absent(repository.state("v2")).contains("no snapshot"));
        // Nothing leads out of the cache.
        write(&repository.reference("evil"), "../../..");
        for revision in ["evil", "../snapshots/abc", "", "/"] {
            assert!(matches!(repository.state(revision), State::Absent(_)), "{revision}");
        }
    }

    #[test]
    fn the_hubs_list_tells_what_a_snapshot_lacks() {
        let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
                          {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;
        let files = [BERT, ("model.safetensors", ""), ("vocab.txt", ""), ("1_Pooling/config.json", "{}")];
        let (_home, repository) = cached(&files);
        let list = |more: &str| {
            let all = format!(r#"["config.json", "model.safetensors", "vocab.txt", "onnx/model.onnx"{more}]"#);
            write(&repository.list("abc"), &all);
        };
        list("");
        assert!(matches!(repository.state("main"), State::Complete(_)));
        for name in ["modules.json", "tokenizer_config.json", "sentence_bert_config.json", "README.md"] {
            list(&format!(", {name:?}"));
            assert!(absent(repository.state("main")).ends_with(&format!("has no {name}")), "{name}");
        }
        list(r#", "1_Pooling/config.json", "1_Pooling/other.json", "modules.json""#);
        write(&repository.snapshot("abc").join("modules.json"), modules);
        assert!(matches!(repository.state("main"), State::Complete(_)));
        std::fs::remove_file(repository.snapshot("abc").join("1_Pooling/config.json")).unwrap();
        assert!(absent(repository.state("main")).ends_with("has no 1_Pooling/config.json"));
        // One that is cut short is none.
        write(&repository.list("abc"), "[\"config.js");
        assert!(absent(repository.state("main")).ends_with("has no 1_Pooling/config.json"));
    }

    #[test]
    fn what_the_modules_need_is_told() {
        let module =
            |path: &str, kind: &str| format!(r#"{{"path": "{path}", "type": "sentence_transformers.models.{kind}"}}"#);
        let modules =
            [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")];
        let modules = modules.map(|(path, kind)| module(path, kind)).join(",");
        let (_home, repository) = cached(&[("modules.json", &format!("[{modules}]"))]);
        let snapshot = repository.snapshot("abc");
        let index = r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
        for (lacks, name, text) in [
            ("config.json", "config.json", BERT.1),
            ("model.safetensors", "model.safetensors.index.json", index),
            ("one.safetensors", "one.safetensors", ""),
            ("two.safetensors", "two.safetensors", ""),
            ("tokenizer.json", "vocab.txt", ""),
            ("1_Pooling/config.json", "1_Pooling/config.json", "{}"),
            ("2_Dense/config.json", "2_Dense/config.json", "{}"),
            ("2_Dense/model.safetensors", "2_Dense/pytorch_model.bin", ""),
        ] {
            assert_eq!(lacking(&snapshot).as_deref(), Some(lacks));
            write(&snapshot.join(name), text);
        }
        assert_eq!(lacking(&snapshot), None);
    }

    #[test]
    fn what_the_routes_of_a_router_need_is_told() {
        let modules = r#"[{"path": "", "type": "sentence_transformers.models.Router"}]"#;
        let (_home, repository) = cached(&[("modules.json", modules)]);
        let snapshot = repository.snapshot("abc");
        let router = r#"{"structure": {"query": ["q"], "document": ["d", "p"]}, "types": {
            "q": "sentence_transformers.sparse_encoder.models.SparseStaticEmbedding",
            "d": "sentence_transformers.sparse_encoder.models.MLMTransformer",
            "p": "sentence_transformers.sparse_encoder.models.SpladePooling"}}"#;
        for (lacks, name, text) in [
            ("router_config.json", "router_config.json", router),
            ("q/model.safetensors", "q/model.safetensors", ""),
            ("q/tokenizer.json", "q/tokenizer.json", "{}"),
            ("d/config.json", "d/config.json", BERT.1),
            ("d/model.safetensors", "d/pytorch_model.bin", ""),
            ("d/tokenizer.json", "d/vocab.txt", ""),
            ("p/config.json", "p/config.json", "{}"),
        ] {
            assert_eq!(lacking(&snapshot).as_deref(), Some(lacks));
            write(&snapshot.join(name), text);
        }
        assert_eq!(lacking(&snapshot), None);
    }

    #[test]
    fn files_that_were_never_asked_for_are_in_doubt() {
        let (_home, repository) = cached(&[BERT, ("model.safetensors", ""), ("vocab.txt", "")]);
        let snapshot = repository.snapshot("abc");
        let mark = |name: &str| write(&repository.known_absent("abc").join(name), "");
        let doubted = |name: &str| {
            let doubt = doubt(&repository).unwrap();
            assert!(doubt.contains(&format!("has no {name}, and the repository may have it")), "{doubt}");
        };
        // Programs that fetch all that there is mark nothing, and old versions of rushlight these alone.
        assert_eq!(doubt(&repository), None);
        mark("config_sentence_transformers.json");
        assert_eq!(doubt(&repository), None);
        // As transformers leaves it, which reads no modules.
        mark("added_tokens.json");
        doubted("modules.json");
        for whole in ["README.md", ".gitattributes"] {
            write(&snapshot.join(whole), "");
            assert_eq!(doubt(&repository), None, "{whole}");
            std::fs::remove_file(snapshot.join(whole)).unwrap();
        }
        write(&snapshot.join("config.json"), r#"{"architectures": ["BertForSequenceClassification"]}"#);
        doubted("tokenizer_config.json");
        mark("tokenizer_config.json");
        assert_eq!(doubt(&repository), None);
        write(&snapshot.join("config.json"), BERT.1);
        mark("modules.json");
        assert_eq!(doubt(&repository), None);
    }
}
