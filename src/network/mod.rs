//! A loaded model's computation: a backbone, and the head after it, on one device.

pub(crate) mod static_embedding;
pub(crate) mod token_weights;

use std::sync::Mutex;

use crate::batch::{Batch, TokenBudget};
use crate::config::Kind;
use crate::error::Result;
use crate::heads::{self, Asked, Files, Head};
use crate::layers::{Backbone, Checkpoint, Limits};
use crate::ops::{DeviceBatch, Ops};
use crate::threads::team::Team;
use crate::weights::Weights;

pub(crate) use crate::heads::{Output, Wanted};

/// From packed tokens to vectors. Shared by threads; each call works in scratch memory of its own.
pub(crate) trait Network: Send + Sync {
    /// Computes a micro-batch, on up to `threads` threads as far as they are free; the token embeddings only where they are
    /// `wanted`.
    fn forward(&self, batch: &Batch, wanted: Wanted, threads: usize, checkpoint: &Checkpoint<'_>) -> Result<Output>;

    /// What the backbone takes and gives.
    fn limits(&self) -> Limits;

    /// How large its micro-batches are.
    fn token_budget(&self) -> TokenBudget {
        TokenBudget::FOR_CACHE
    }

    /// Columns of the sentence embeddings.
    fn embedding_dimension(&self) -> usize;

    /// Whether pooling leaves out the prompt's tokens, where nobody says otherwise.
    fn excludes_prompt(&self) -> bool;

    /// Whether a text may have no tokens at all.
    fn takes_no_tokens(&self) -> bool {
        false
    }
}

/// A network in one device's ops.
struct OnDevice<O: Ops> {
    ops: O,
    /// Workers whose scratch memory waits for the next call.
    idle: Mutex<Vec<O>>,
    backbone: Backbone<O>,
    head: Box<dyn Head<O>>,
}

/// Loads the network of a model of that kind.
pub(crate) fn load<O: Ops>(kind: Kind, files: &Files<'_>, ops: O) -> Result<Box<dyn Network>> {
    let weights = Weights::open(files.transformer)?;
    let mut backbone = crate::families::load(files.config, weights.clone(), &ops)?;
    let head = heads::load(kind, files, &weights, &mut backbone, &ops)?;
    Ok(Box::new(OnDevice { ops, idle: Mutex::default(), backbone, head }))
}

impl<O: Ops> Network for OnDevice<O> {
    fn forward(&self, batch: &Batch, wanted: Wanted, threads: usize, checkpoint: &Checkpoint<'_>) -> Result<Output> {
        let _turn = self.ops.turn(checkpoint)?;
        // Never waited for: in a fork's child, a thread that held the lock may be left behind in the parent.
        let waiting = self.idle.try_lock().ok().and_then(|mut idle| idle.pop());
        let mut ops = waiting.unwrap_or_else(|| self.ops.worker());
        let output = Team::with(threads, |team| {
            ops.join(team);
            let batch = &DeviceBatch::new(&ops, batch)?;
            let asked = Asked { wanted, checkpoint };
            let tokens = self.backbone.forward(&ops, batch, self.head.queries(batch, wanted), checkpoint)?;
            self.head.forward(&ops, tokens, batch, &asked)
        })?;
        ops.join(Team::default());
        if let Ok(mut idle) = self.idle.try_lock() {
            idle.push(ops);
        }
        Ok(output)
    }

    fn limits(&self) -> Limits {
        self.backbone.limits()
    }

    fn token_budget(&self) -> TokenBudget {
        self.ops.token_budget()
    }

    fn embedding_dimension(&self) -> usize {
        self.head.width()
    }

    fn excludes_prompt(&self) -> bool {
        self.head.excludes_prompt()
    }
}
