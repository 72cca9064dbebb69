//! Check that no other user can have written a file of packed weights.

use std::fs::Metadata;
use std::path::Path;

use super::slot::ARGUMENT;
use crate::error::{Error, Result};

/// Checks that a file or folder belongs to this user or to root, and that nobody else may write it.
///
/// # Errors
/// [`Error::InvalidArgument`], which names the path.
#[cfg(unix)]
pub(super) fn check(path: &Path, metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let refused = |problem: String| Err(Error::argument(ARGUMENT, format!("{} {problem}", path.display())));
    if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
        return refused(format!("must belong to this user or to root, belongs to user {owner}"));
    }
    if mode & 0o022 != 0 {
        return refused(format!("must be writable by its owner alone, has mode {mode:o}; run chmod go-w on it"));
    }
    Ok(())
}

/// Folders of other systems have the access rights of the folder that they are in.
#[cfg(not(unix))]
pub(super) fn check(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, trusted) in [(0o700, true), (0o755, true), (0o775, false), (0o757, false), (0o1777, false)] {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let checked = check(folder.path(), &folder.path().metadata().unwrap());
            assert_eq!(checked.is_ok(), trusted, "{mode:o}");
            assert!(trusted || checked.unwrap_err().to_string().contains("chmod"), "{mode:o}");
        }
    }
}
