//! Download of one file from the hub into the cache, checked for completeness.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;
use ureq::http::StatusCode;

use super::address::shown;
use super::client::{ATTEMPTS, Answer, Client, Method, backoff};
use super::format;
use crate::error::{Error, Result};
use crate::source::cache::{Repository, is_plain};

/// Bytes read between two checks for cancellation.
const BUFFER_SIZE: usize = 1 << 16;

/// Size limit of a file whose size the hub doesn't give.
const MAX_UNKNOWN_SIZE: u64 = 1 << 29;

/// Evidence that a body is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    /// Its size, or an end marked by the transfer.
    Known,
    /// Only the closed connection.
    Unknown,
}

/// Progress of a download in bytes.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) done: AtomicU64,
    pub(super) total: AtomicU64,
}

/// A file of a commit, as the hub describes it.
#[derive(Debug)]
pub(super) struct RemoteFile {
    /// Path in the repository.
    path: String,
    url: String,
    /// Identifier of its content: SHA-256 for large files, git's SHA-1 for others.
    etag: String,
    size: Option<u64>,
}

impl RemoteFile {
    /// Requests the description from the hub.
    pub(super) fn describe(client: &Client, repository: &Repository, commit: &str, path: &str) -> Result<Self> {
        let path_segments = repository.name.split('/').chain(["resolve", commit]).chain(path.split('/'));
        let url = client.address(path_segments);
        let answer = client.ask(Method::Head, &url, 0)?;
        let redirected = answer.redirect().is_some();
        if !answer.status().is_success() && !redirected {
            return Err(answer.refusal(client));
        }
        let etag = answer.header("x-linked-etag").or(answer.header("etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        if !is_plain(&etag) {
            return Err(failure(
                &url,
                "the answer has no etag; HF_ENDPOINT must be the address of a Hugging Face hub".to_owned(),
            ));
        }
        let own_size = answer.header("content-length").filter(|_| !redirected);
        let size = answer.header("x-linked-size").or(own_size).and_then(|size| size.parse().ok());
        Ok(Self { path: path.to_owned(), url, etag, size })
    }

    fn blob(&self, repository: &Repository) -> PathBuf {
        repository.folder.join("blobs").join(&self.etag)
    }

    /// Returns true if the cache has the file with the right size.
    fn is_cached(&self, blob: &Path) -> bool {
        blob.metadata().is_ok_and(|blob| self.size.is_none_or(|size| size == blob.len()))
    }

    /// Returns the number of bytes to download.
    pub(super) fn missing(&self, repository: &Repository) -> u64 {
        if self.is_cached(&self.blob(repository)) { 0 } else { self.size.unwrap_or(0) }
    }

    /// Puts the file into a commit's snapshot; downloads it if the cache lacks it.
    pub(super) fn fetch(
        &self,
        client: &Client,
        repository: &Repository,
        commit: &str,
        progress: &Progress,
    ) -> Result<()> {
        let blob = self.blob(repository);
        if !self.is_cached(&blob) {
            let lock = self.lock(client, &repository.locks.join(format!("{}.lock", self.etag)))?;
            if !self.is_cached(&blob) {
                // Without locks, each process writes to a file of its own.
                let id = if lock.is_some() { String::new() } else { format!(".{}", std::process::id()) };
                let partial = blob.with_file_name(format!("{}{id}.incomplete", self.etag));
                self.download(client, &partial, progress)?;
                std::fs::rename(&partial, &blob).map_err(|error| self.unwritable(&blob, &error))?;
            }
        }
        let pointer = repository.snapshot(commit).join(&self.path);
        self.link(&blob, &pointer).map_err(|error| self.unwritable(&pointer, &error))
    }

    /// Locks the file against downloads by other programs; `None` if the file system has no locks.
    fn lock(&self, client: &Client, path: &Path) -> Result<Option<File>> {
        self.make_folder_of(path)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(|error| self.unwritable(path, &error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => client.stop.sleep(Duration::from_millis(100))?,
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(self.unwritable(path, &error)),
            }
        }
    }

    /// Downloads the file as `partial`, and resumes an earlier download.
    fn download(&self, client: &Client, partial: &Path, progress: &Progress) -> Result<()> {
        self.make_folder_of(partial)?;
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(partial);
        let mut file = file.map_err(|error| self.unwritable(partial, &error))?;
        let have = file.seek(SeekFrom::End(0)).map_err(|error| self.unwritable(partial, &error))?;
        progress.done.fetch_add(have, Ordering::Relaxed);
        let mut attempt = 1;
        loop {
            let problem = match self.receive(client, &mut file, partial, progress)? {
                Ok(end) => match self.check(&mut file, end).map_err(|error| self.unwritable(partial, &error))? {
                    Ok(()) => return Ok(()),
                    Err(problem) => {
                        // The bytes of the earlier download may be wrong.
                        self.restart(&mut file, partial, progress)?;
                        problem
                    }
                },
                Err(problem) => problem,
            };
            if attempt == ATTEMPTS {
                return Err(failure(&self.url, format!("{problem}; tried {attempt} times")));
            }
            client.stop.sleep(backoff(attempt))?;
            attempt += 1;
        }
    }

    /// Appends the missing bytes and returns the evidence that they are complete; the inner error is transient.
    fn receive(
        &self,
        client: &Client,
        file: &mut File,
        partial: &Path,
        progress: &Progress,
    ) -> Result<std::result::Result<BodyEnd, String>> {
        let unwritable = |error: std::io::Error| self.unwritable(partial, &error);
        let mut have = file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        if self.size.is_some_and(|size| have > size) {
            self.restart(file, partial, progress)?;
            have = 0;
        }
        if self.size == Some(have) {
            return Ok(Ok(BodyEnd::Known));
        }
        let answer = client.ask(Method::Get, &self.url, have)?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&answer, have) => {}
            StatusCode::OK => {
                self.restart(file, partial, progress)?;
                have = 0;
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.restart(file, partial, progress)?;
                return Ok(Err("the hub sent another range of bytes than requested".to_owned()));
            }
            _ => return Err(answer.refusal(client)),
        }
        let announced = answer.response.body().content_length().map(|length| length.saturating_add(have));
        if let (Some(size), Some(announced)) = (self.size, announced)
            && size != announced
        {
            return Ok(Err(format!("the hub announced {size} bytes first, then {announced}")));
        }
        let end = if self.size.is_some() || answer.is_framed() { BodyEnd::Known } else { BodyEnd::Unknown };
        let max_size = self.size.or(announced).unwrap_or(MAX_UNKNOWN_SIZE);
        let mut body = client.body(answer);
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            client.stop.check()?;
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Ok(Err(format!("{error} after {have} bytes"))),
            };
            if count as u64 > max_size.saturating_sub(have) {
                self.restart(file, partial, progress)?;
                return Err(failure(&self.url, format!("sent more than {max_size} bytes, the limit for this file")));
            }
            file.write_all(&buffer[..count]).map_err(|error| {
                if error.kind() == ErrorKind::StorageFull {
                    // Frees the disk space for other programs.
                    let _ = std::fs::remove_file(partial);
                }
                unwritable(error)
            })?;
            have += count as u64;
            progress.done.fetch_add(count as u64, Ordering::Relaxed);
        }
        match self.size.filter(|size| *size != have) {
            Some(size) => Ok(Err(format!("ended after {have} of {size} bytes"))),
            None => Ok(Ok(end)),
        }
    }

    /// Empties the file and takes its bytes off the progress.
    fn restart(&self, file: &mut File, partial: &Path, progress: &Progress) -> Result<()> {
        let unwritable = |error: std::io::Error| self.unwritable(partial, &error);
        let had = file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        file.set_len(0).map_err(unwritable)?;
        file.rewind().map_err(unwritable)?;
        progress.done.fetch_sub(had, Ordering::Relaxed);
        Ok(())
    }

    /// Checks the content against the etag if that is a hash. If it isn't and the end of the body is unknown, checks that the
    /// file is complete by its format. The inner error describes the problem.
    fn check(&self, file: &mut File, end: BodyEnd) -> std::io::Result<std::result::Result<(), String>> {
        let size = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let found = match self.etag.len() {
            64 => hash(Sha256::new(), file)?,
            40 => hash(Sha1::new_with_prefix(format!("blob {size}\0")), file)?,
            _ if end == BodyEnd::Known => return Ok(Ok(())),
            _ => return format::check(&self.path, size, file),
        };
        let is_same = found == self.etag.to_lowercase();
        Ok(if is_same {
            Ok(())
        } else {
            Err(format!("the received file has the hash {found}, must have {}", self.etag))
        })
    }

    /// Makes the snapshot's entry: a symbolic link to the blob, else a hard link, else a copy.
    fn link(&self, blob: &Path, pointer: &Path) -> std::io::Result<()> {
        if pointer.exists() {
            return Ok(());
        }
        if let Some(folder) = pointer.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // A dangling link.
        if pointer.is_symlink() {
            std::fs::remove_file(pointer)?;
        }
        let up = "../".repeat(2 + self.path.split('/').count() - 1);
        let made = symlink(&Path::new(&up).join("blobs").join(&self.etag), pointer);
        match made.or_else(|_| std::fs::hard_link(blob, pointer)) {
            // Another program has made it meanwhile.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(_) => {
                let copy = pointer.with_extension(format!("{}.copy", std::process::id()));
                std::fs::copy(blob, &copy)?;
                std::fs::rename(copy, pointer)
            }
            made => made,
        }
    }

    fn make_folder_of(&self, file: &Path) -> Result<()> {
        let folder = file.parent().unwrap_or(file);
        std::fs::create_dir_all(folder).map_err(|error| self.unwritable(folder, &error))
    }

    fn unwritable(&self, path: &Path, error: &std::io::Error) -> Error {
        unwritable(&self.url, path, error)
    }
}

/// Makes the error of a cache that can't be written.
pub(super) fn unwritable(url: &str, path: &Path, error: &std::io::Error) -> Error {
    let advice = "choose another cache by cache_folder, or by the variable HF_HUB_CACHE";
    failure(url, format!("can't write {}: {error}; {advice}", path.display()))
}

pub(super) fn failure(url: &str, problem: String) -> Error {
    Error::Download { url: shown(url), status: None, problem }
}

/// Returns true if the sent range begins at this byte.
fn begins_at(answer: &Answer, byte: u64) -> bool {
    answer.header("content-range").is_some_and(|range| range.starts_with(&format!("bytes {byte}-")))
}

fn hash(mut hasher: impl Digest, file: &mut File) -> std::io::Result<String> {
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}
