//! The one place where a panic of the tokenizers crate ends.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread becomes an error, which says all that there is to say.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call`, which calls into the tokenizers crate, and makes an error's or a panic's message of what goes wrong.
///
/// That crate panics on some files (a bad charsmap, merges that don't fit, a template without its tokens). All that
/// `call` changes is thrown away on an error, so nothing half done is seen, and nothing is printed.
pub(super) fn caught<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    hush_caught_panics();
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    CAUGHT.set(outer);
    match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => match panic.downcast::<GaveUp>() {
            Ok(gave_up) => Err(gave_up.0),
            Err(panic) => Err(format!("the tokenizers crate can't use it: {}", message(panic.as_ref()))),
        },
    }
}

/// Ends the call that [`caught`] runs with this error, where the tokenizers crate drops the errors that it is returned.
pub(super) fn give_up(problem: String) -> ! {
    resume_unwind(Box::new(GaveUp(problem)))
}

struct GaveUp(String);

/// Puts a hook before the process's own that keeps it from the panics that are caught here; all others it gets.
fn hush_caught_panics() {
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

    /// Run by the next one in a process of its own, for what it prints.
    #[test]
    #[ignore = "prints a panic"]
    fn panics_here_and_elsewhere() {
        let caught_within = || caught::<()>(|| panic!("caught within"));
        let outer = caught::<()>(|| {
            assert!(caught_within().is_err());
            panic!("caught outside")
        });
        assert_eq!(outer.unwrap_err(), "the tokenizers crate can't use it: caught outside");
        assert_eq!(caught::<()>(|| give_up("as it is".to_owned())).unwrap_err(), "as it is");
        let elsewhere = std::thread::spawn(|| panic!("of another thread"));
        assert!(elsewhere.join().is_err());
        assert!(catch_unwind(|| panic!("of the same thread")).is_err());
    }

    #[test]
    fn only_panics_that_are_caught_here_print_nothing() {
        let test = "tokenize::guard::tests::panics_here_and_elsewhere";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let done = command.args(["--exact", test, "--ignored", "--nocapture"]).output().unwrap();
        let printed = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{printed}");
        assert!(printed.contains("of another thread") && printed.contains("of the same thread"), "{printed}");
        assert!(!printed.contains("caught") && !printed.contains("as it is"), "{printed}");
    }
}
