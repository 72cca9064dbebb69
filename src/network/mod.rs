//! A loaded model's computation on one device: a backbone and the heads after it, or a model without a transformer.

pub(crate) mod static_embedding;
pub(crate) mod token_weights;

use std::sync::Mutex;

use crate::batch::{Batch, TokenBudget};
use crate::config::Kind;
use crate::error::Result;
use crate::families::{Family, LoadOps};
use crate::heads::{self, Files, Head, HeadRequest, Output, Selected};
use crate::layers::{Backbone, Checkpoint, Limits};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::threads::intra_op::IntraOpThreads;
use crate::weights::Weights;

/// From packed tokens to rows. Threads share it; each call works in scratch memory of its own.
pub(crate) trait Network: Send + Sync {
    /// Computes the results that are asked for of a micro-batch, on up to `threads` threads as far as they are free.
    fn forward(
        &self,
        batch: &Batch,
        request: HeadRequest,
        threads: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Output>;

    /// Sizes of the backbone.
    fn limits(&self) -> Limits;

    /// Size of its micro-batches.
    fn token_budget(&self) -> TokenBudget {
        TokenBudget::FOR_CACHE
    }

    /// Columns of the rows of the kind of model.
    fn width(&self) -> usize;

    /// Returns true where pooling leaves out the prompt's tokens, unless a caller says otherwise.
    fn excludes_prompt(&self) -> bool {
        false
    }

    /// Returns true where a text may have no tokens at all.
    fn takes_no_tokens(&self) -> bool {
        false
    }
}

/// A transformer and its heads, in one device's ops.
struct Transformer<O: Ops> {
    ops: O,
    /// Workers whose scratch memory waits for the next call.
    idle: Mutex<Vec<O>>,
    backbone: Backbone<O>,
    /// The first is that of the kind of model.
    heads: Vec<Box<dyn Head<O>>>,
}

/// Loads the network of a model of that kind.
pub(crate) fn load<O: LoadOps>(kind: Kind, files: &Files<'_>, ops: O) -> Result<Box<dyn Network>> {
    let weights = Weights::open(files.transformer)?;
    let mut backbone = Family::of(files.config)?.load(files.config, weights.clone(), &ops)?;
    let heads = vec![heads::load(kind, files, &weights, &mut backbone, &ops)?];
    Ok(Box::new(Transformer { ops, idle: Mutex::default(), backbone, heads }))
}

impl<O: Ops> Transformer<O> {
    /// The tokens whose embeddings the heads read between them.
    fn selection(&self, batch: &Batch, request: HeadRequest) -> TokenSelection {
        let mut selections = self.asked(request).map(|head| head.selection(batch));
        match selections.next() {
            Some(first) if !request.token_embeddings && selections.all(|other| other == first) => first,
            _ => TokenSelection::All,
        }
    }

    fn asked(&self, request: HeadRequest) -> impl Iterator<Item = &dyn Head<O>> {
        self.heads.iter().map(|head| &**head).filter(move |head| request.asks_for(head.gives()))
    }

    fn compute(&self, ops: &O, batch: &Batch, request: HeadRequest, checkpoint: &Checkpoint<'_>) -> Result<Output> {
        let mut output = Output::of(batch);
        let selection = self.selection(batch, request);
        let batch = &DeviceBatch::new(ops, batch)?;
        let embeddings = &self.backbone.forward(ops, batch, selection, checkpoint)?;
        if request.token_embeddings {
            output.token_embeddings = ops.to_vec(embeddings)?;
        }
        let tokens = Selected { embeddings, selection, checkpoint };
        self.asked(request).try_for_each(|head| head.forward(ops, &tokens, batch, &mut output))?;
        Ok(output)
    }
}

impl<O: Ops> Network for Transformer<O> {
    fn forward(
        &self,
        batch: &Batch,
        request: HeadRequest,
        threads: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Output> {
        let _lock = self.ops.device_lock(checkpoint)?;
        // Never waited for: in a fork's child, a thread that held the lock may be left behind in the parent.
        let waiting = self.idle.try_lock().ok().and_then(|mut idle| idle.pop());
        let mut ops = waiting.unwrap_or_else(|| self.ops.worker());
        let output = IntraOpThreads::with(threads, |intra_op| {
            ops.use_threads(intra_op);
            self.compute(&ops, batch, request, checkpoint)
        })?;
        ops.use_threads(IntraOpThreads::default());
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

    fn width(&self) -> usize {
        self.heads[0].width()
    }

    fn excludes_prompt(&self) -> bool {
        self.heads.iter().any(|head| head.excludes_prompt())
    }
}
