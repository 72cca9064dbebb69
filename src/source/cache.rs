//! The cache of downloaded models that Python's huggingface_hub keeps: `models--organization--name` with `refs/`,
//! `snapshots/` and `blobs/`.

use std::path::{Component, Path, PathBuf};

/// A cache's folder, and what said that it is there.
#[derive(Clone, Debug)]
pub(crate) struct CacheLocation {
    pub(crate) folder: PathBuf,
    pub(crate) said_by: &'static str,
}

impl CacheLocation {
    /// By `cache_folder`, else `SENTENCE_TRANSFORMERS_HOME`, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, or the home
    /// folder.
    pub(crate) fn choose(cache_folder: Option<&Path>) -> Self {
        if let Some(folder) = cache_folder {
            return Self { folder: folder.to_path_buf(), said_by: "cache_folder" };
        }
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let said: [(&str, &[&str]); 5] = [
            ("SENTENCE_TRANSFORMERS_HOME", &[]),
            ("HF_HUB_CACHE", &[]),
            ("HUGGINGFACE_HUB_CACHE", &[]),
            ("HF_HOME", &["hub"]),
            ("XDG_CACHE_HOME", &["huggingface", "hub"]),
        ];
        for (name, below) in said {
            if let Some(folder) = variable(name) {
                let folder = below.iter().fold(expand_home(&folder), |folder, name| folder.join(name));
                return Self { folder, said_by: name };
            }
        }
        let home = std::env::home_dir().unwrap_or_default();
        Self { folder: home.join(".cache").join("huggingface").join("hub"), said_by: "the default" }
    }

    /// The snapshot of a repository at a revision (a branch, a tag or a commit); else what was looked for and where.
    pub(crate) fn find(&self, repository: &str, revision: &str) -> Result<PathBuf, String> {
        let folder = self.folder.join(format!("models--{}", repository.replace('/', "--")));
        let place =
            |problem: &str| format!("the Hugging Face cache, {} (by {}): {problem}", folder.display(), self.said_by);
        if !folder.is_dir() {
            return Err(place("not there"));
        }
        let plain = |name: &str| {
            !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
        };
        if !plain(revision) {
            return Err(place(&format!("revision {revision:?} can't be one")));
        }
        let commit = match std::fs::read_to_string(folder.join("refs").join(revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => revision.to_owned(),
        };
        let snapshot = folder.join("snapshots").join(&commit);
        if !plain(&commit) || !snapshot.is_dir() {
            return Err(place(&format!("no snapshot of revision {revision:?}")));
        }
        // A download that fetched something else of the repository leaves a snapshot without a model.
        if !snapshot.join("modules.json").exists() && !snapshot.join("config.json").exists() {
            return Err(place(&format!(
                "the snapshot of revision {revision:?} has neither modules.json nor config.json"
            )));
        }
        Ok(snapshot)
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

    #[test]
    fn snapshots_are_found_by_branch_and_by_commit() {
        let home = tempfile::tempdir().unwrap();
        let cache = CacheLocation { folder: home.path().to_path_buf(), said_by: "cache_folder" };
        let repository = home.path().join("models--org--name");
        assert!(cache.find("org/name", "main").unwrap_err().contains("not there"));

        std::fs::create_dir_all(repository.join("refs/pr")).unwrap();
        std::fs::create_dir_all(repository.join("snapshots/abc")).unwrap();
        assert!(cache.find("org/name", "main").unwrap_err().contains("no snapshot"));
        std::fs::write(repository.join("refs/main"), "abc\n").unwrap();
        std::fs::write(repository.join("refs/pr/1"), "abc").unwrap();
        assert!(cache.find("org/name", "main").unwrap_err().contains("neither"));
        std::fs::write(repository.join("snapshots/abc/config.json"), "{}").unwrap();
        for revision in ["main", "abc", "pr/1"] {
            assert_eq!(cache.find("org/name", revision).unwrap(), repository.join("snapshots/abc"));
        }

        // Nothing leads out of the cache.
        std::fs::write(repository.join("refs/evil"), "../../..").unwrap();
        for revision in ["evil", "../snapshots/abc", "", "/"] {
            assert!(cache.find("org/name", revision).is_err(), "{revision}");
        }
    }
}
