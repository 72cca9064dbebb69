//! Where a model's folder comes from: a path, or a name, which is looked for in the Hugging Face cache and downloaded from
//! the hub where it isn't there. The only room with a network, and that only with the feature `hub`.
//!
//! Environment variables that say where models are, are read here and nowhere else.

mod cache;
mod environment;
#[cfg(feature = "hub")]
mod hub;
mod names;
mod wanted;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::{HubToken, LoadOptions};

pub(crate) use cache::CacheLocation;
use cache::{Repository, State, Unlisted};

/// Whose models are named without an organization.
pub(crate) const SENTENCE_TRANSFORMERS: &str = "sentence-transformers";
/// Whose rerankers are, and whose sparse models.
pub(crate) const CROSS_ENCODERS: &str = "cross-encoder";
pub(crate) const SPARSE_ENCODERS: &str = "sparse-encoder";

/// The folder that `name` means: itself where it is one, else the snapshot of that repository in the cache, which is
/// downloaded where it isn't there and nothing forbids it. A name without a `/` is of `organization`.
///
/// # Errors
/// [`Error::ModelNotFound`] with every place that was looked at, those where the caller has `looked` among them;
/// [`Error::Download`] where the hub doesn't give what it has.
pub(crate) fn find(
    path: &Path,
    organization: &str,
    options: &LoadOptions,
    mut looked: Vec<String>,
    observer: &dyn Observer,
) -> Result<PathBuf> {
    if let Some(folder) = local_folder(path)? {
        return Ok(folder);
    }
    let name = path.to_string_lossy();
    looked.insert(0, format!("{name:?}: no such folder"));
    let nowhere = |looked| Error::ModelNotFound { name: name.clone().into_owned(), looked };
    let Some(repository) = path.to_str().and_then(|name| names::repository(name, organization)) else {
        looked.push("not a repository's name either: those are \"name\" or \"organization/name\"".to_owned());
        return Err(nowhere(looked));
    };
    let cache = CacheLocation::choose(options.cache_folder.as_deref());
    let repository = cache.repository(repository);
    let revision = options.revision.as_deref().unwrap_or("main");
    let forbidden = offline(options);
    let state = repository.state(revision);
    let problem = match &state {
        State::Complete(snapshot) => return Ok(snapshot.clone()),
        State::Unlisted(Unlisted { snapshot, doubt: None, .. }) if forbidden.is_some() => return Ok(snapshot.clone()),
        State::Unlisted(Unlisted { doubt, .. }) => doubt.as_deref().unwrap_or("nothing tells whether it is complete"),
        State::Absent(problem) => problem,
    };
    looked.push(format!("the Hugging Face cache, {} (by {}): {problem}", repository.folder.display(), cache.said_by));
    if let Some(reason) = forbidden {
        looked.push(format!("the hub: not asked, because of {reason}"));
        return Err(nowhere(looked));
    }
    let download = |wish| download(&repository, wish, &options.token, observer);
    match state {
        State::Unlisted(Unlisted { commit, snapshot, doubt }) => match (download(Wish::Rest(&commit))?, doubt) {
            (Ok(snapshot), _) => Ok(snapshot),
            (Err(place), None) => {
                log::warn!("{}: taken as it is, without asking what it lacks: {place}", snapshot.display());
                Ok(snapshot)
            }
            (Err(place), Some(_)) => {
                looked.push(place);
                Err(nowhere(looked))
            }
        },
        State::Complete(_) | State::Absent(_) => download(Wish::Revision(revision))?.map_err(|place| {
            looked.push(place);
            nowhere(looked)
        }),
    }
}

/// What is asked of the hub.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "nothing is asked for"))]
enum Wish<'a> {
    /// A branch, a tag or a commit.
    Revision(&'a str),
    /// What the cache lacks of a commit, if anything: where the hub can't be asked, that is no error.
    Rest(&'a str),
}

/// What forbids the network, if anything does.
fn offline(options: &LoadOptions) -> Option<&'static str> {
    if cfg!(not(feature = "hub")) {
        return Some("this build, which has no feature `hub`");
    }
    if options.local_files_only { Some("local_files_only") } else { environment::offline() }
}

/// The snapshot, downloaded; else where it was looked for on the hub, and what the hub said.
#[cfg(feature = "hub")]
fn download(
    repository: &Repository,
    wish: Wish<'_>,
    token: &HubToken,
    observer: &dyn Observer,
) -> Result<std::result::Result<PathBuf, String>> {
    hub::download(repository, wish, token, observer)
}

#[cfg(not(feature = "hub"))]
fn download(
    _: &Repository,
    _: Wish<'_>,
    _: &HubToken,
    _: &dyn Observer,
) -> Result<std::result::Result<PathBuf, String>> {
    Ok(Err("the hub: not in this build".to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::NoObserver;

    #[test]
    fn what_is_nowhere_is_told_with_every_place() {
        let options = LoadOptions {
            cache_folder: Some(PathBuf::from("nowhere-cache")),
            local_files_only: true,
            ..LoadOptions::default()
        };
        let find = |name: &str, looked| find(Path::new(name), SENTENCE_TRANSFORMERS, &options, looked, &NoObserver);
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
