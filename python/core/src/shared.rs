//! Models that threads of Python share.

use std::sync::{PoisonError, RwLock};

/// Model with settings that can change while other threads use it.
pub(crate) struct Shared<M>(RwLock<M>);

impl<M: Clone> Shared<M> {
    pub(crate) fn new(model: M) -> Self {
        Self(RwLock::new(model))
    }

    /// Returns a cheap clone, so that the lock is free while it computes.
    pub(crate) fn get(&self) -> M {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the settings.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut M) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
