//! Converts panics of libraries that read untrusted files into errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// True while [`catch_panic`] runs on this thread. The error carries the panic's message, so nothing is printed.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call`, which calls into the tokenizers crate, and returns the message of an error or a panic.
///
/// The crate panics on some files: a bad charsmap, merges that don't fit, a template without its tokens. Callers drop
/// everything that `call` changed on an error, so no half-built state is visible.
pub(crate) fn catch_panic<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    catch_panic_of("the tokenizers crate", call)
}

/// Runs a `call` into a library like [`catch_panic`].
pub(crate) fn catch_panic_of<T>(library: &str, call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    silence_caught_panics();
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    CAUGHT.set(outer);
    match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => match panic.downcast::<Aborted>() {
            Ok(aborted) => Err(aborted.0),
            Err(panic) => Err(format!("{library} can't read it: {}", message(panic.as_ref()))),
        },
    }
}

/// Unwinds to [`catch_panic`], which returns this error. Needed where the tokenizers crate drops returned errors.
pub(crate) fn abort(problem: String) -> ! {
    resume_unwind(Box::new(Aborted(problem)))
}

struct Aborted(String);

/// Installs a panic hook that skips panics caught here and passes all others to the previous hook.
fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                others(panic);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs in a process of its own, started by the next test, which checks its output.
    #[test]
    #[ignore = "prints a panic"]
    fn panics_here_and_elsewhere() {
        let caught_within = || catch_panic::<()>(|| panic!("caught within"));
        let outer = catch_panic::<()>(|| {
            assert!(caught_within().is_err());
            panic!("caught outside")
        });
        assert_eq!(outer.unwrap_err(), "the tokenizers crate can't read it: caught outside");
        assert_eq!(catch_panic::<()>(|| abort("as it is".to_owned())).unwrap_err(), "as it is");
        let elsewhere = std::thread::spawn(|| panic!("of another thread"));
        assert!(elsewhere.join().is_err());
        assert!(catch_unwind(|| panic!("of the same thread")).is_err());
    }

    #[test]
    fn only_panics_that_are_caught_here_print_nothing() {
        let test = "catch_panic::tests::panics_here_and_elsewhere";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let done = command.args(["--exact", test, "--ignored", "--nocapture"]).output().unwrap();
        let printed = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{printed}");
        assert!(printed.contains("of another thread") && printed.contains("of the same thread"), "{printed}");
        assert!(!printed.contains("caught") && !printed.contains("as it is"), "{printed}");
    }
}
