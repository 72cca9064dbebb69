//! Downloads from the Hugging Face hub into the cache, which is shared with Python's huggingface_hub.

mod address;
mod blob;
mod body;
mod client;
mod format;
mod stop;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;

use super::cache::{Repository, is_plain, missing_file};
use super::{DownloadRequest, needed_files};
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::HubToken;
use crate::threads::schedule::lock;
use blob::{Progress, RemoteFile, failure, unwritable};
use client::{ATTEMPTS, Client, Method};
use stop::Stop;

/// Number of concurrent downloads.
const CONNECTIONS: usize = 8;
/// Size limit in bytes of the hub's list of a repository's files; a longer one is cut off.
const MAX_LISTING: u64 = 1 << 26;
/// Interval between two calls of the observer.
const PATIENCE: Duration = Duration::from_millis(50);

/// Downloads the files of a repository that a model needs, and returns the snapshot's folder. The inner error names the
/// address on the hub that has no such model. For [`DownloadRequest::Rest`], an unreachable hub is an inner error, too.
///
/// The observer gets the progress in bytes.
///
/// # Errors
/// [`Error::Download`] if the hub refuses a file or the cache can't be written; [`Error::Interrupted`] if the observer stops
/// the call. Received bytes are kept, and the next download resumes.
pub(super) fn download(
    repository: &Repository,
    request: DownloadRequest<'_>,
    token: &HubToken,
    observer: &dyn Observer,
) -> Result<std::result::Result<PathBuf, String>> {
    let stop = Stop::default();
    let client = Client::new(token, stop.clone())?;
    let progress = Arc::new(Progress::default());
    let url = client.shown();
    let (sender, receiver) = channel();
    let (revision, is_rest) = match request {
        DownloadRequest::Revision(revision) => (revision.to_owned(), false),
        DownloadRequest::Rest(commit) => (commit.to_owned(), true),
    };
    let job = Job { client, repository: repository.clone(), revision, is_rest, progress: progress.clone() };
    // The thread may outlive an interrupted call, since a connection may be silent for long.
    let (hand_over, handed_over) = channel::<Job>();
    let run = move || handed_over.recv().map(|job| sender.send(job.run()));
    if std::thread::Builder::new().spawn(run).is_err() {
        // The system is out of threads.
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

/// The hub's description of a revision.
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

/// Download of a revision.
struct Job {
    client: Client,
    repository: Repository,
    revision: String,
    /// True if the cache has a snapshot of the revision without the list of its files.
    is_rest: bool,
    progress: Arc<Progress>,
}

impl Job {
    fn run(self) -> Result<std::result::Result<PathBuf, String>> {
        let (commit, all) = match self.list() {
            Ok(Ok(listing)) => listing,
            Ok(Err(location)) => return Ok(Err(location)),
            Err(error @ Error::Download { .. }) if self.is_rest => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        if self.is_rest && commit != self.revision {
            let problem = format!("answered with commit {commit}, must be {}", self.revision);
            return Ok(Err(format!("the hub, {}/{}: {problem}", self.client.shown(), self.repository.name)));
        }
        // The list is written first, so that an interrupted download is recognized as incomplete.
        let noted = self.write(&self.repository.list(&commit), &serde_json::json!(all).to_string());
        let layout: Vec<_> =
            needed_files::LAYOUT.into_iter().filter(|file| all.iter().any(|other| other == file)).collect();
        self.fetch(&commit, layout.into_iter().map(str::to_owned).collect())?;
        let snapshot = self.repository.snapshot(&commit);
        self.fetch(&commit, needed_files::of_snapshot(&all, &snapshot))?;
        // Names of shards are known only from the index.
        while let Some(file) = missing_file(&snapshot).filter(|file| all.contains(file)) {
            self.fetch(&commit, vec![file])?;
        }
        if self.is_rest {
            // A read-only cache may be complete nevertheless.
            return Ok(Ok(snapshot));
        }
        noted?;
        // The reference is written last, so that it always leads to a complete snapshot.
        if self.revision != commit {
            self.write(&self.repository.reference(&self.revision), &commit)?;
        }
        Ok(Ok(snapshot))
    }

    /// Returns the commit of the revision and the names of its files. The inner error names the address that has none.
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
        let mut body = Vec::new();
        let read = self.client.body(answer).take(MAX_LISTING).read_to_end(&mut body);
        read.map_err(|error| failure(&url, error.to_string()))?;
        let listing: Listing = serde_json::from_slice(&body)
            .map_err(|error| failure(&url, format!("must be the JSON list of files that a hub sends: {error}")))?;
        let files: Vec<_> = listing.siblings.into_iter().map(|file| file.rfilename).collect();
        match std::iter::once(&listing.sha).chain(&files).find(|name| !is_plain(name)) {
            Some(name) => Err(failure(&url, format!("must name files within the repository, got {name:?}"))),
            None => Ok(Ok((listing.sha, files))),
        }
    }

    /// Puts these files into the snapshot, unless it has them.
    fn fetch(&self, commit: &str, mut files: Vec<String>) -> Result<()> {
        let (client, repository) = (&self.client, &self.repository);
        files.retain(|file| !repository.snapshot(commit).join(file).exists());
        let mut remote = self.each(files, |file| RemoteFile::describe(client, repository, commit, &file))?;
        // The largest file first, since it takes longest.
        remote.sort_by_key(|file| std::cmp::Reverse(file.missing(repository)));
        let total = remote.iter().map(|file| file.missing(repository)).sum();
        self.progress.total.fetch_add(total, Ordering::Relaxed);
        self.each(remote, |file| file.fetch(client, repository, commit, &self.progress)).map(|_| ())
    }

    /// Calls `work` for all items concurrently; the first error cancels the others.
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
                // If the system is out of threads, the running ones do all the work.
                let _ = std::thread::Builder::new().spawn_scoped(scope, take);
            }
            take();
        });
        match lock(&failure).take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut lock(&results))),
        }
    }

    /// Writes a small file atomically.
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
