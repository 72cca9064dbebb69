//! The one place where a panic of the tokenizers crate ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`, which calls into the tokenizers crate, and makes an error's or a panic's message of what goes wrong.
///
/// That crate panics on some files (a bad charsmap, merges that don't fit, a template without its tokens). All that
/// `call` changes is thrown away on an error, so nothing half done is seen.
pub(super) fn caught<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the tokenizers crate can't use it: {}", message(panic.as_ref()))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}
