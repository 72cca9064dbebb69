//! Downloading from the Hugging Face hub into the cache that is shared with Python's huggingface_hub.

mod address;
mod blob;
mod client;
mod format;
mod stop;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;

use super::cache::{Repository, is_plain, lacking};
use super::{Wish, wanted};
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::HubToken;
use crate::threads::schedule::lock;
use blob::{Progress, RemoteFile, failure, unwritable};
use client::{ATTEMPTS, Client, Method};
use stop::Stop;

/// Files that are fetched at once.
const CONNECTIONS: usize = 8;
/// How often the caller is asked whether to go on.
const PATIENCE: Duration = Duration::from_millis(50);

/// Downloads what a model needs of a repository, and gives its snapshot; or where it was looked for in vain. Where only the
/// rest of a snapshot is wished for, that is also where the hub doesn't answer at once.
///
/// The observer is told of bytes.
///
/// # Errors
/// [`Error::Download`] where the hub doesn't give a file or the cache doesn't take it; [`Error::Interrupted`] at once where
/// the observer asks to stop: what has come of a file stays, and the next download goes on from there.
pub(super) fn download(
    repository: &Repository,
    wish: Wish<'_>,
    token: &HubToken,
    observer: &dyn Observer,
) -> Result<std::result::Result<PathBuf, String>> {
    let stop = Stop::default();
    let client = Client::new(token, stop.clone())?;
    let progress = Arc::new(Progress::default());
    let url = client.shown();
    let (sender, receiver) = channel();
    let (revision, is_rest) = match wish {
        Wish::Revision(revision) => (revision.to_owned(), false),
        Wish::Rest(commit) => (commit.to_owned(), true),
    };
    let job = Job { client, repository: repository.clone(), revision, is_rest, progress: progress.clone() };
    // On a thread that can be left behind: a connection may be silent for long.
    let (hand_over, handed_over) = channel::<Job>();
    let elsewhere = move || handed_over.recv().map(|job| sender.send(job.run()));
    if std::thread::Builder::new().spawn(elsewhere).is_err() {
        // The system has no more threads.
        return job.run();
    }
    let _ = hand_over.send(job);
    loop {
        let result = receiver.recv_timeout(PATIENCE);
        let (done, total) = (progress.done.load(Ordering::Relaxed), progress.total.load(Ordering::Relaxed));
        if total > 0 {
            observer.progress(done.min(total) as usize, total as usize);
        }
        match result {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) if observer.interrupted() => {
                stop.set();
                return Err(Error::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(failure(&url, "the download panicked".to_owned())),
        }
    }
}

/// What the hub says of a revision.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// The download of a revision.
struct Job {
    client: Client,
    repository: Repository,
    revision: String,
    /// Whether the cache has the revision but for its list of files, and maybe some of them.
    is_rest: bool,
    progress: Arc<Progress>,
}

impl Job {
    fn run(self) -> Result<std::result::Result<PathBuf, String>> {
        let (commit, all) = match self.list() {
            Ok(Ok(listing)) => listing,
            Ok(Err(place)) => return Ok(Err(place)),
            Err(error @ Error::Download { .. }) if self.is_rest => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        if self.is_rest && commit != self.revision {
            let problem = format!("tells of commit {commit} where {} was asked for", self.revision);
            return Ok(Err(format!("the hub, {}/{}: {problem}", self.client.shown(), self.repository.name)));
        }
        // First, so that what an interruption leaves can be told from what is whole.
        let noted = self.write(&self.repository.list(&commit), &serde_json::json!(all).to_string());
        let layout: Vec<_> = wanted::LAYOUT.into_iter().filter(|file| all.iter().any(|other| other == file)).collect();
        self.fetch(&commit, layout.into_iter().map(str::to_owned).collect())?;
        let snapshot = self.repository.snapshot(&commit);
        self.fetch(&commit, wanted::of_snapshot(&all, &snapshot))?;
        // Shards may have any name.
        while let Some(file) = lacking(&snapshot).filter(|file| all.contains(file)) {
            self.fetch(&commit, vec![file])?;
        }
        if self.is_rest {
            // A cache that can't be written to may be whole all the same.
            return Ok(Ok(snapshot));
        }
        noted?;
        // Last, so that what the revision leads to is whole.
        if self.revision != commit {
            self.write(&self.repository.reference(&self.revision), &commit)?;
        }
        Ok(Ok(snapshot))
    }

    /// The commit of the revision, and the names of its files; or where it was looked for in vain.
    fn list(&self) -> Result<std::result::Result<(String, Vec<String>), String>> {
        let name = self.repository.name.split('/');
        let url = self.client.address(["api", "models"].into_iter().chain(name).chain(["revision", &self.revision]));
        let attempts = if self.is_rest { 1 } else { ATTEMPTS };
        let answer = self.client.ask_often(attempts, Method::Get, &url, 0)?;
        if answer.is_absent() {
            let what = match answer.header("x-error-code") {
                Some("RevisionNotFound") => format!("no revision {:?}", self.revision),
                _ if self.client.has_token() => {
                    "no such repository, or a private one to which the access token gives no access".to_owned()
                }
                _ => {
                    "no such repository, or a private one, which needs an access token (token=, or HF_TOKEN)".to_owned()
                }
            };
            return Ok(Err(format!("the hub, {}/{}: {what}", self.client.shown(), self.repository.name)));
        }
        if !answer.status().is_success() {
            return Err(answer.refusal(&self.client));
        }
        let body = answer.response.into_body().into_with_config().limit(1 << 26).read_to_vec();
        let body = body.map_err(|error| failure(&url, error.to_string()))?;
        let listing: Listing = serde_json::from_slice(&body)
            .map_err(|error| failure(&url, format!("not the list of files that a hub gives: {error}")))?;
        let files: Vec<_> = listing.siblings.into_iter().map(|file| file.rfilename).collect();
        match std::iter::once(&listing.sha).chain(&files).find(|name| !is_plain(name)) {
            Some(name) => Err(failure(&url, format!("must name files of the repository, names {name:?}"))),
            None => Ok(Ok((listing.sha, files))),
        }
    }

    /// Puts those files into the snapshot that it hasn't.
    fn fetch(&self, commit: &str, mut files: Vec<String>) -> Result<()> {
        let (client, repository) = (&self.client, &self.repository);
        files.retain(|file| !repository.snapshot(commit).join(file).exists());
        let mut remote = self.each(files, |file| RemoteFile::describe(client, repository, commit, &file))?;
        // The largest first, since it takes the longest.
        remote.sort_by_key(|file| std::cmp::Reverse(file.missing(repository)));
        let total = remote.iter().map(|file| file.missing(repository)).sum();
        self.progress.total.fetch_add(total, Ordering::Relaxed);
        self.each(remote, |file| file.fetch(client, repository, commit, &self.progress)).map(|_| ())
    }

    /// Does `work` with all items, several at once; the first error stops the others.
    fn each<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
        let threads = CONNECTIONS.min(items.len());
        let items = Mutex::new(items.into_iter());
        let (results, failure) = (Mutex::new(Vec::new()), Mutex::new(None));
        let next = || lock(&items).next();
        let take = || {
            while let Some(item) = next() {
                match work(item) {
                    Ok(result) => lock(&results).push(result),
                    Err(error) => {
                        lock(&failure).get_or_insert(error);
                        return self.client.stop.set();
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // Where the system has no more threads, those that run do it all.
                let _ = std::thread::Builder::new().spawn_scoped(scope, take);
            }
            take();
        });
        match lock(&failure).take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut lock(&results))),
        }
    }

    /// Writes a small file so that it is there with all of its text or not at all.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(path))?;
            let new = path.with_extension(format!("{}.new", std::process::id()));
            std::fs::write(&new, text)?;
            std::fs::rename(new, path)
        };
        write().map_err(|error| unwritable(&self.client.shown(), path, &error))
    }
}
