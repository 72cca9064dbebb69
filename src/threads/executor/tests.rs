//! Tests of callers and workers, on executors of their own.

use std::time::Instant;

use super::*;

fn never() -> Result<()> {
    Ok(())
}

/// Counter of the threads that are inside at once.
#[derive(Default)]
struct Counter {
    inside: AtomicUsize,
    max: AtomicUsize,
}

impl Counter {
    fn count<R>(&self, work: impl FnOnce() -> R) -> R {
        self.max.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let result = work();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

#[test]
fn callers_and_workers_are_no_more_than_the_limit_and_workers_are_kept() {
    for limit in [1, 2, 3] {
        let (executor, counter, helped) = (Executor::for_test(limit), Counter::default(), AtomicUsize::new(0));
        let pause = || std::thread::sleep(Duration::from_micros(50));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let left = AtomicUsize::new(5);
                        let take =
                            || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                        let help = || {
                            while take() {
                                helped.fetch_add(1, Ordering::SeqCst);
                                counter.count(pause);
                                if executor.contended() {
                                    return Progress::More;
                                }
                            }
                            Progress::Done
                        };
                        executor.with_workers(limit - 1, Lend::Later, &help, |_, _| {
                            let caller = Caller::new(executor);
                            while caller.next_turn(&never).is_ok() && take() {
                                counter.count(pause);
                            }
                        });
                        assert_eq!(left.load(Ordering::SeqCst), 0);
                    }
                });
            }
        });
        assert_eq!(counter.max.load(Ordering::SeqCst), limit);
        assert_eq!(helped.load(Ordering::SeqCst) > 0, limit > 1);
        let state = lock(&executor.state);
        assert!(state.workers.len() <= limit && state.idle.len() == state.workers.len());
        assert!(state.running == 0 && state.callers.is_empty() && state.calls.is_empty());
    }
}

#[test]
fn a_caller_that_asks_lends_its_permit_and_has_it_again() {
    let executor = Executor::for_test(1);
    let outer = Caller::new(executor);
    outer.next_turn(&never).unwrap();
    let nested = || {
        let inner = Caller::new(executor);
        inner.next_turn(&never)?;
        // Another thread gets the permit, too, while the outer one does not compute.
        std::thread::scope(|scope| {
            let other = scope.spawn(|| Caller::new(executor).next_turn(&never));
            inner.give_back();
            other.join().unwrap()
        })
    };
    outer.lending(nested, &never).unwrap();
    assert_eq!(lock(&executor.state).running, 1);
    let error = outer.lending(|| Err(Error::Interrupted), &never);
    assert!(matches!(error, Err(Error::Interrupted)));
    drop(outer);
    assert_eq!(lock(&executor.state).running, 0);
}

#[test]
fn a_caller_that_waits_can_be_stopped_and_blocks_nobody() {
    let executor = Executor::for_test(1);
    let (first, second) = (Caller::new(executor), Caller::new(executor));
    first.next_turn(&never).unwrap();
    let stop = || Err(Error::Interrupted);
    assert!(matches!(second.next_turn(&stop), Err(Error::Interrupted)));
    first.give_back();
    Caller::new(executor).next_turn(&never).unwrap();
}

#[test]
fn workers_that_have_not_begun_are_taken_back() {
    let executor = Executor::for_test(4);
    let come = AtomicUsize::new(0);
    let help = || {
        come.fetch_add(1, Ordering::SeqCst);
        Progress::Done
    };
    for _ in 0..1000 {
        let before = come.load(Ordering::SeqCst);
        executor.with_workers(3, Lend::Now, &help, |_, here| assert_eq!(here, 3));
        assert!(come.load(Ordering::SeqCst) - before <= 3);
        assert_eq!(lock(&executor.state).running, 0);
    }
    let none = |_: &CallWorkers, here| assert_eq!(here, 0);
    executor.set_limit(1);
    executor.with_workers(3, Lend::Now, &help, |_, _| {});
    let caller = Caller::new(executor);
    caller.next_turn(&never).unwrap();
    executor.with_workers(3, Lend::Now, &help, none);
}

#[test]
fn a_panic_of_a_worker_reaches_its_call_and_no_other() {
    let executor = Executor::for_test(2);
    for _ in 0..20 {
        let panicked = AtomicBool::new(false);
        let help = || {
            panicked.store(true, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("on purpose"))
        };
        let wait = |_: &CallWorkers, _: usize| {
            while !panicked.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        };
        let call = || executor.with_workers(1, Lend::Later, &help, wait);
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        executor.with_workers(1, Lend::Later, &|| Progress::Done, |_, _| {});
    }
}

#[test]
fn workers_beyond_a_lower_limit_end() {
    let executor = Executor::for_test(4);
    let inside = AtomicUsize::new(0);
    let help = || {
        inside.fetch_add(1, Ordering::SeqCst);
        Progress::Done
    };
    executor.with_workers(3, Lend::Later, &help, |_, _| {
        while inside.load(Ordering::SeqCst) < 3 {
            std::thread::yield_now();
        }
    });
    executor.set_limit(1);
    let end = Instant::now() + Duration::from_secs(60);
    while lock(&executor.state).workers.len() > 1 && Instant::now() < end {
        executor.with_workers(3, Lend::Later, &help, |_, _| std::thread::yield_now());
    }
    assert!(lock(&executor.state).workers.len() <= 1);
}
