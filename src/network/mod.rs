//! Networks: the computation of a loaded model on one device. One has a backbone and heads; static models have none.

pub(crate) mod static_embedding;
pub(crate) mod token_weights;
mod towers;

use std::sync::Mutex;

use crate::batch::{Batch, TokenBudget};
use crate::config::Kind;
use crate::error::Result;
use crate::families::LoadOps;
use crate::heads::{self, Files, Head, HeadRequest, Output, Selected, Weighed};
use crate::layers::{Backbone, Checkpoint, Limits};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::process;
use crate::threads::intra_op::IntraOpThreads;
use crate::weights::Weights;

/// Computation from packed tokens to rows. Threads share it; each call has its own scratch memory.
pub(crate) trait Network: Send + Sync {
    /// Computes the requested results of a micro-batch on up to `threads` free threads.
    fn forward(
        &self,
        batch: &Batch,
        request: HeadRequest,
        threads: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Output>;

    /// Computes texts and images, so that linear layers see inputs before they quantize.
    fn calibrate(&self, _: &Batch) -> Result<()> {
        Ok(())
    }

    /// Limits of the backbone.
    fn limits(&self) -> Limits;

    /// Token budget of its micro-batches.
    fn token_budget(&self) -> TokenBudget {
        TokenBudget::FOR_CACHE
    }

    /// Number of columns of the model's rows.
    fn width(&self) -> usize;

    /// Number of columns of the rows of a further head, which gives this result; `None` without such a head.
    fn width_of(&self, _: HeadRequest) -> Option<usize> {
        None
    }

    /// Returns true if pooling excludes the prompt's tokens by default.
    fn excludes_prompt(&self) -> bool {
        false
    }

    /// Applies what follows pooling to pooled rows of the backbone's width; `None` if pooling gives another width.
    fn after_pooling(&self, _: Vec<f32>) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }

    /// Returns the number of weights that a sparse row keeps by default; `None` means all.
    fn active_dims(&self) -> Option<usize> {
        None
    }

    /// Returns the tokens that sparse rows have weights of.
    fn weighed(&self) -> Weighed {
        Weighed::Vocabulary
    }

    /// Returns true if a text without any token is valid.
    fn takes_no_tokens(&self) -> bool {
        false
    }
}

/// Transformer and its heads, in terms of one device's ops.
struct Transformer<O: Ops> {
    ops: O,
    /// Ops of idle workers, whose scratch memory the next call reuses.
    idle: Mutex<Vec<O>>,
    backbone: Backbone<O>,
    /// Heads; the first belongs to the kind of model.
    heads: Vec<Box<dyn Head<O>>>,
}

/// Loads the network of a kind of model.
pub(crate) fn load<O: LoadOps>(kind: Kind, files: &Files<'_>, ops: O) -> Result<Box<dyn Network>> {
    let mut weights = Weights::open(files.weights)?;
    if let Some(adapter) = &files.adapter {
        weights = weights.adapted(adapter.clone())?;
    }
    if let Some(tower) = &files.family.images {
        let network = towers::load(kind, files, tower, weights.clone(), &ops)?;
        weights.check_adapter()?;
        return Ok(network);
    }
    let mut backbone = files.family.load(files.config, weights.clone(), &ops)?;
    let heads = heads::load(kind, files, &weights, &mut backbone, &ops)?;
    weights.check_adapter()?;
    Ok(Box::new(Transformer::new(ops, backbone, heads)))
}

impl<O: Ops> Transformer<O> {
    fn new(ops: O, backbone: Backbone<O>, heads: Vec<Box<dyn Head<O>>>) -> Self {
        Self { ops, idle: Mutex::default(), backbone, heads }
    }

    /// Returns the tokens whose embeddings the requested heads read.
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
        // Never block on this lock: after a fork, its holder may exist only in the parent process.
        let idle = self.idle.try_lock().ok().and_then(|mut idle| idle.pop());
        let mut ops = idle.unwrap_or_else(|| self.ops.worker());
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

    fn calibrate(&self, batch: &Batch) -> Result<()> {
        match self.ops.calibrating() {
            Some(mut ops) => IntraOpThreads::with(process::num_threads()?, |intra_op| {
                ops.use_threads(intra_op);
                self.compute(&ops, batch, HeadRequest::ALL, &|| Ok(())).map(|_| ())
            }),
            None => Ok(()),
        }
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

    fn width_of(&self, result: HeadRequest) -> Option<usize> {
        self.asked(result).map(Head::width).next()
    }

    fn after_pooling(&self, rows: Vec<f32>) -> Result<Option<Vec<f32>>> {
        let _lock = self.ops.device_lock(&|| Ok(()))?;
        self.heads[0].after_pooling(&self.ops.worker(), &rows)
    }

    fn active_dims(&self) -> Option<usize> {
        self.asked(HeadRequest::SPARSE).find_map(Head::active_dims)
    }

    fn weighed(&self) -> Weighed {
        self.asked(HeadRequest::SPARSE).map(Head::weighed).next().unwrap_or_default()
    }
}
