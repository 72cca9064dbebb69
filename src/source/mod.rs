//! Resolution of a path or a name to a model's folder. Names are looked up in the Hugging Face cache, then downloaded from
//! the hub. No other module uses the network, and this one only with the feature `hub`.
//!
//! Environment variables about the location of models are read only here.

mod cache;
mod environment;
#[cfg(feature = "hub")]
mod hub;
mod names;
mod needed_files;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::observer::{NoObserver, Observer};
use crate::options::{HubToken, LoadOptions};

use cache::{CacheLocation, Repository, SnapshotState, Unlisted};

/// Organization of sentence embedding models that are named without one.
pub(crate) const SENTENCE_TRANSFORMERS: &str = "sentence-transformers";
/// Organizations of rerankers and of sparse models that are named without one.
pub(crate) const CROSS_ENCODERS: &str = "cross-encoder";
pub(crate) const SPARSE_ENCODERS: &str = "sparse-encoder";

/// Returns the folder of the Hugging Face cache that the environment chooses.
pub fn cache_folder() -> PathBuf {
    CacheLocation::choose(None).folder
}

/// Returns the folder of `path`: itself if it is a folder, else the repository's snapshot in the cache, downloaded if missing
/// and allowed. A name without a `/` belongs to `organization`.
///
/// # Errors
/// [`Error::ModelNotFound`] with every location tried, starting with those in `looked`; [`Error::Download`] if a download
/// fails; [`Error::Interrupted`] if the options' observer stops it.
pub fn find(path: &Path, organization: &str, options: &LoadOptions, mut looked: Vec<String>) -> Result<PathBuf> {
    if let Some(folder) = local_folder(path)? {
        return Ok(folder);
    }
    let name = path.to_string_lossy();
    looked.insert(0, format!("{name:?}: no such folder"));
    let nowhere = |looked| Error::ModelNotFound { name: name.clone().into_owned(), looked };
    let Some(repository) = path.to_str().and_then(|name| names::repository(name, organization)) else {
        looked.push("not a repository's name, which must be \"name\" or \"organization/name\"".to_owned());
        return Err(nowhere(looked));
    };
    let cache = CacheLocation::choose(options.cache_folder.as_deref());
    let repository = cache.repository(repository);
    let revision = options.revision.as_deref().unwrap_or("main");
    let forbidden = offline(options);
    let state = repository.state(revision);
    let problem = match &state {
        SnapshotState::Complete(snapshot) => return Ok(snapshot.clone()),
        SnapshotState::Unlisted(Unlisted { snapshot, doubt: None, .. }) if forbidden.is_some() => {
            return Ok(snapshot.clone());
        }
        SnapshotState::Unlisted(Unlisted { doubt, .. }) => {
            doubt.as_deref().unwrap_or("no list of its files shows that it is complete")
        }
        SnapshotState::Absent(problem) => problem,
    };
    looked.push(format!("the Hugging Face cache, {} (by {}): {problem}", repository.folder.display(), cache.chosen_by));
    if let Some(reason) = forbidden {
        looked.push(format!("the hub: not asked because of {reason}"));
        return Err(nowhere(looked));
    }
    let download = |request| {
        let observer: &dyn Observer = options.observer.as_deref().map_or(&NoObserver, |observer| observer);
        download(&repository, request, &options.token, observer)
    };
    match state {
        SnapshotState::Unlisted(Unlisted { commit, snapshot, doubt }) => {
            match (download(DownloadRequest::Rest(&commit))?, doubt) {
                (Ok(snapshot), _) => Ok(snapshot),
                (Err(location), None) => {
                    log::warn!(
                        "{}: loading the cached files without checking that they are complete: {location}",
                        snapshot.display()
                    );
                    Ok(snapshot)
                }
                (Err(location), Some(_)) => {
                    looked.push(location);
                    Err(nowhere(looked))
                }
            }
        }
        SnapshotState::Complete(_) | SnapshotState::Absent(_) => download(DownloadRequest::Revision(revision))?
            .map_err(|location| {
                looked.push(location);
                nowhere(looked)
            }),
    }
}

/// Download to make.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "nothing is downloaded"))]
enum DownloadRequest<'a> {
    /// A branch, a tag or a commit.
    Revision(&'a str),
    /// Files of a commit that the cache lacks. An unreachable hub is no error.
    Rest(&'a str),
}

/// Returns the setting that forbids network access, if any.
fn offline(options: &LoadOptions) -> Option<&'static str> {
    if cfg!(not(feature = "hub")) {
        return Some("this build, which has no feature `hub`");
    }
    if options.local_files_only { Some("local_files_only") } else { environment::offline() }
}

/// Downloads a snapshot and returns its folder. The inner error has the address on the hub, and the hub's answer.
#[cfg(feature = "hub")]
fn download(
    repository: &Repository,
    request: DownloadRequest<'_>,
    token: &HubToken,
    observer: &dyn Observer,
) -> Result<std::result::Result<PathBuf, String>> {
    hub::download(repository, request, token, observer)
}

#[cfg(not(feature = "hub"))]
fn download(
    _: &Repository,
    _: DownloadRequest<'_>,
    _: &HubToken,
    _: &dyn Observer,
) -> Result<std::result::Result<PathBuf, String>> {
    Ok(Err("the hub: not in this build".to_owned()))
}

/// Returns `path` if it is a folder.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_models_list_all_searched_locations() {
        let options = LoadOptions {
            cache_folder: Some(PathBuf::from("nowhere-cache")),
            local_files_only: true,
            ..LoadOptions::default()
        };
        let find = |name: &str, looked| find(Path::new(name), SENTENCE_TRANSFORMERS, &options, looked);
        let text = find("no-such-model", vec!["a wheel".to_owned()]).unwrap_err().to_string();
        for word in [
            "no such folder",
            "a wheel",
            "nowhere-cache",
            "models--sentence-transformers--no-such-model",
            "local_files_only",
        ] {
            assert!(text.contains(word) || cfg!(not(feature = "hub")), "{word}: {text}");
        }
        assert!(matches!(find("", vec![]), Err(Error::InvalidArgument { .. })));
        assert!(matches!(find("Cargo.toml", vec![]), Err(Error::InvalidArgument { .. })));
    }
}
