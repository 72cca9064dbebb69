//! Copies of a model on other devices, with other dtypes or for other tasks, made on demand.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use super::loaded::{Loaded, Variant};
use crate::error::Result;
use crate::observer::{self, Observer};
use crate::threads::executor::{PATIENCE, lock};

/// Copies of a model. Each is loaded once; other calls wait for it and ask their observers meanwhile.
#[derive(Default)]
pub(super) struct Twins {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    made: Vec<Arc<Loaded>>,
    loading: Vec<(Variant, ThreadId)>,
}

impl State {
    fn find(&self, variant: Variant) -> Option<Arc<Loaded>> {
        self.made.iter().find(|twin| twin.variant == variant).map(Arc::clone)
    }
}

impl Twins {
    /// Returns the copy of a variant. The first call makes it with `load`, outside of the lock.
    ///
    /// # Errors
    /// The error of `load`, for the call that loads: the next one tries again.
    /// [`Error::Interrupted`](crate::Error::Interrupted) if the observer stops the wait.
    pub(super) fn get(
        &self,
        variant: Variant,
        observer: &dyn Observer,
        load: impl FnOnce() -> Result<Loaded>,
    ) -> Result<Arc<Loaded>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(twin) = state.find(variant) {
                return Ok(twin);
            }
            // An observer may ask for the copy that its own thread loads: waiting for it would never end.
            let other = |(loading, by): &(Variant, ThreadId)| *loading == variant && *by != thread::current().id();
            if !state.loading.iter().any(other) {
                break;
            }
            drop(self.changed.wait_timeout(state, PATIENCE));
            observer::ask(observer)?;
            state = lock(&self.state);
        }
        let claim = (variant, thread::current().id());
        state.loading.push(claim);
        drop(state);
        let _claim = Claim { twins: self, claim };
        let twin = Arc::new(load()?);
        let mut state = lock(&self.state);
        if let Some(twin) = state.find(variant) {
            return Ok(twin); // made by this thread's observer
        }
        state.made.push(Arc::clone(&twin));
        Ok(twin)
    }
}

/// Copy that this thread loads. Dropping it lets others see the copy, or load it themselves after an error.
struct Claim<'a> {
    twins: &'a Twins,
    claim: (Variant, ThreadId),
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.twins.state);
        if let Some(index) = state.loading.iter().position(|claim| *claim == self.claim) {
            state.loading.swap_remove(index);
        }
        drop(state);
        self.twins.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::device::{Device, Dtype};
    use crate::engine::compute::Compute;
    use crate::error::Error;
    use crate::models::Model;
    use crate::observer::NoObserver;
    use crate::options::LoadOptions;

    fn model() -> Model {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
        Model::from_dir_with(folder, &LoadOptions { device: Some(Device::Cpu), ..LoadOptions::default() }).unwrap()
    }

    /// Another dtype stands for another device.
    fn elsewhere(model: &Model) -> Compute {
        let mut compute = model.engine.loaded.variant.compute;
        compute.dtype = Dtype::BFloat16;
        compute
    }

    #[test]
    fn an_observer_stops_the_loading_of_a_copy_which_the_next_call_loads() {
        let model = model();
        let stop = AtomicBool::new(true);
        let stopped = model.engine.at(elsewhere(&model), &stop);
        assert!(matches!(stopped.map(|_| ()), Err(Error::Interrupted)));
        assert_eq!(model.engine.at(elsewhere(&model), &NoObserver).unwrap().loaded.variant.compute, elsewhere(&model));
    }

    /// Waits in its first question until the test goes on.
    struct Pausing<'a>(&'a Barrier, AtomicBool);

    impl Observer for Pausing<'_> {
        fn interrupted(&self) -> bool {
            if !self.1.swap(true, Ordering::Relaxed) {
                self.0.wait(); // the copy is being loaded
                self.0.wait(); // the test has seen it
            }
            false
        }
    }

    #[test]
    fn another_call_waits_for_the_copy_and_can_be_stopped() {
        let (model, barrier) = (model(), Barrier::new(2));
        thread::scope(|scope| {
            let loads = scope.spawn(|| model.engine.at(elsewhere(&model), &Pausing(&barrier, AtomicBool::new(false))));
            barrier.wait();
            let stopped = model.engine.at(elsewhere(&model), &AtomicBool::new(true));
            assert!(matches!(stopped.map(|_| ()), Err(Error::Interrupted)));
            let waits = scope.spawn(|| model.engine.at(elsewhere(&model), &NoObserver));
            barrier.wait();
            let [loaded, waited] = [loads, waits].map(|call| call.join().unwrap().unwrap().loaded);
            assert!(Arc::ptr_eq(&loaded, &waited));
        });
    }

    /// Asks for the copy that its thread loads.
    struct Asking<'a>(&'a Model, Mutex<Option<Arc<Loaded>>>);

    impl Observer for Asking<'_> {
        fn interrupted(&self) -> bool {
            let mut copy = lock(&self.1);
            if copy.is_none() {
                *copy = Some(self.0.engine.at(elsewhere(self.0), &NoObserver).unwrap().loaded);
            }
            false
        }
    }

    #[test]
    fn an_observer_may_ask_for_the_copy_that_is_being_loaded() {
        let model = model();
        let asking = Asking(&model, Mutex::default());
        let loaded = model.engine.at(elsewhere(&model), &asking).unwrap().loaded;
        let inner = lock(&asking.1).take().unwrap();
        assert!(Arc::ptr_eq(&loaded, &inner));
    }
}
