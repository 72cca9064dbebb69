//! The executor's parking, waking and lending in thousands of interleavings, by the model checker shuttle.
//!
//! shuttle's timeouts never end, so a wakeup that is missed is a deadlock here, even where a timeout hides it in rushlight.
//! With the feature `system` the same programs run on the system's threads, under Miri or ThreadSanitizer.
#![cfg(test)]
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "../../../src/threads"]
mod threads {
    #[cfg_attr(not(feature = "system"), path = "../../tests/interleavings/src/sync.rs")]
    pub mod sync;

    pub mod executor;
}

mod error {
    pub type Result<T> = std::result::Result<T, Error>;

    #[derive(Debug)]
    pub enum Error {
        Forked,
        InvalidArgument(String),
        Interrupted,
    }

    impl Error {
        pub fn argument(name: &'static str, problem: impl Into<String>) -> Self {
            Self::InvalidArgument(format!("{name}: {}", problem.into()))
        }
    }
}

#[cfg_attr(feature = "system", path = "system.rs")]
mod checker;
mod interleavings;
