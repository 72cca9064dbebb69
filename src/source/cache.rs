//! The cache of downloaded models that Python's huggingface_hub keeps: `models--organization--name` with `refs/`,
//! `snapshots/` and `blobs/`.

use std::path::{Component, Path, PathBuf};

use crate::config::{JsonFile, inside};

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
    /// All that loading needs.
    Complete(PathBuf),
    /// A snapshot without a file that a model may have or not, and nothing that tells whether the repository has it.
    Unsure { snapshot: PathBuf, problem: String },
    /// Not the revision, or not all that it needs.
    Absent(String),
}

/// The files without which a model is another one, and not an error.
pub(super) const DECISIVE: [&str; 2] = ["modules.json", "config_sentence_transformers.json"];

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

    /// The file that says that a commit has no file of that name, empty as Python's client writes it.
    pub(super) fn known_absent(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit).join(file)
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
        if let Some(file) = lacking(&snapshot) {
            return State::Absent(format!("the snapshot of revision {revision:?} has no {file}"));
        }
        let unknown = |file: &&&str| !snapshot.join(file).exists() && !self.known_absent(&commit, file).exists();
        match DECISIVE.iter().find(unknown) {
            None => State::Complete(snapshot),
            Some(file) => {
                let problem = format!(
                    "the snapshot of revision {revision:?} has no {file}, and the repository may have it; to load the \
                     files as they are, give the folder {}",
                    snapshot.display()
                );
                State::Unsure { snapshot, problem }
            }
        }
    }

    /// Whether a snapshot whose `modules.json` may exist elsewhere was fetched as a whole: programs that take some files
    /// only, as transformers does, leave out the README.
    pub(super) fn looks_whole(snapshot: &Path) -> bool {
        snapshot.join("modules.json").exists() || snapshot.join("README.md").exists()
    }
}

/// A file that the model in a folder needs and hasn't, as far as the configs there tell: downloads that were interrupted, or
/// fetched something else, leave such folders.
fn lacking(snapshot: &Path) -> Option<String> {
    // What is malformed is for loading to tell.
    let json = |path: PathBuf| JsonFile::read_if_there(path).ok().flatten();
    let modules = json(snapshot.join("modules.json"));
    let Some(modules) = modules else {
        let config = snapshot.join("config.json").exists();
        return if config { lacking_in(snapshot) } else { Some("modules.json or config.json".to_owned()) };
    };
    let paths = modules.value.as_array()?.iter().filter_map(|entry| entry.get("path")?.as_str());
    for path in paths {
        let Ok(folder) = inside(snapshot, path, &modules.path, "path") else { continue };
        // A Normalize module often has no folder.
        let expected = path.is_empty() || folder.is_dir();
        if let Some(file) = expected.then(|| lacking_in(&folder)).flatten() {
            return Some(Path::new(path).join(file).display().to_string());
        }
    }
    None
}

/// As [`lacking`], of a module's folder: a config that tells of weights needs them.
fn lacking_in(folder: &Path) -> Option<String> {
    let there = |name: &str| folder.join(name).exists();
    let config = match JsonFile::read_if_there(folder.join("config.json")) {
        Ok(Some(config)) => config,
        // Static embeddings and routers have none.
        Ok(None) if there("model.safetensors") || there("router_config.json") => return None,
        Ok(None) => return Some("config.json".to_owned()),
        Err(_) => return None,
    };
    let has_weights = ["model_type", "in_features"].iter().any(|key| config.value.get(key).is_some());
    if !has_weights || there("model.safetensors") {
        return None;
    }
    match JsonFile::read_if_there(folder.join("model.safetensors.index.json")) {
        Ok(Some(index)) => {
            let shards = index.value.get("weight_map")?.as_object()?.values().filter_map(|shard| shard.as_str());
            shards.into_iter().find(|shard| !there(shard)).map(str::to_owned)
        }
        Ok(None) if there("pytorch_model.bin") => None,
        Ok(None) => Some("model.safetensors or pytorch_model.bin".to_owned()),
        Err(_) => None,
    }
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

    #[test]
    fn snapshots_are_found_by_branch_and_by_commit() {
        let home = tempfile::tempdir().unwrap();
        let cache = CacheLocation { folder: home.path().to_path_buf(), said_by: "cache_folder" };
        let repository = cache.repository("org/name".to_owned());
        let folder = home.path().join("models--org--name");
        assert!(absent(repository.state("main")).contains("not there"));

        std::fs::create_dir_all(folder.join("refs/pr")).unwrap();
        std::fs::create_dir_all(folder.join("snapshots/abc")).unwrap();
        assert!(absent(repository.state("main")).contains("no snapshot"));
        std::fs::write(folder.join("refs/main"), "abc\n").unwrap();
        std::fs::write(folder.join("refs/pr/1"), "abc").unwrap();
        assert!(absent(repository.state("main")).contains("no modules.json or config.json"));
        std::fs::write(folder.join("snapshots/abc/config.json"), r#"{"model_type": "bert"}"#).unwrap();
        assert!(absent(repository.state("main")).contains("no model.safetensors or pytorch_model.bin"));
        std::fs::write(folder.join("snapshots/abc/model.safetensors"), "").unwrap();
        for revision in ["main", "abc", "pr/1"] {
            let State::Unsure { snapshot, problem } = repository.state(revision) else { panic!("{revision}") };
            assert!(problem.contains("has no modules.json, and the repository may have it"), "{problem}");
            assert_eq!(snapshot, folder.join("snapshots/abc"));
            assert!(!Repository::looks_whole(&snapshot));
        }
        for file in DECISIVE {
            std::fs::create_dir_all(folder.join(".no_exist/abc")).unwrap();
            std::fs::write(folder.join(".no_exist/abc").join(file), "").unwrap();
        }
        assert!(matches!(repository.state("main"), State::Complete(_)));

        // Nothing leads out of the cache.
        std::fs::write(folder.join("refs/evil"), "../../..").unwrap();
        for revision in ["evil", "../snapshots/abc", "", "/"] {
            assert!(matches!(repository.state(revision), State::Absent(_)), "{revision}");
        }
    }

    #[test]
    fn what_the_modules_need_is_told() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("modules.json", r#"[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}, {"path": "3_Normalize"}]"#);
        assert_eq!(lacking(home.path()).as_deref(), Some("config.json"));
        write("config.json", r#"{"model_type": "bert"}"#);
        write("model.safetensors.index.json", r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#);
        write("one.safetensors", "");
        assert_eq!(lacking(home.path()).as_deref(), Some("two.safetensors"));
        write("two.safetensors", "");
        write("1_Pooling/config.json", "{}");
        write("2_Dense/config.json", r#"{"in_features": 3}"#);
        assert!(lacking(home.path()).unwrap().starts_with("2_Dense"));
        write("2_Dense/pytorch_model.bin", "");
        assert_eq!(lacking(home.path()), None);
    }
}
