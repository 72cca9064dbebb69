use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use crate::checker::{AtomicBool, AtomicUsize, check_pct, check_random, thread};
use crate::error::Error;
use crate::threads::executor::{Caller, Executor, Lend, Progress};

/// Checks a program in random interleavings, and in those with few switches, which find other faults.
fn check(program: fn()) {
    check_random(program, 3000);
    check_pct(program, 3000, 3);
}

fn never() -> Result<(), Error> {
    Ok(())
}

/// Counter of the threads that compute at once.
struct Permits {
    limit: usize,
    held: AtomicUsize,
}

impl Permits {
    fn new(limit: usize) -> Self {
        Self { limit, held: AtomicUsize::new(0) }
    }

    fn compute(&self) {
        assert!(self.held.fetch_add(1, Ordering::SeqCst) < self.limit);
        thread::yield_now();
        self.held.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All permits are free, and nobody waits. Ends the workers, which the model checker would take for stuck.
fn check_idle(executor: &'static Executor, limit: usize) {
    assert!(!executor.contended());
    let callers: Vec<_> = (0..limit).map(|_| Caller::new(executor)).collect();
    assert!(callers.iter().all(|caller| caller.take_free().unwrap()));
    assert!(!Caller::new(executor).take_free().unwrap());
    drop(callers);
    // Workers end when they come back from a call and there are more of them than the limit.
    let begun = AtomicUsize::new(0);
    let wait = || {
        while begun.load(Ordering::SeqCst) < limit {
            thread::yield_now();
        }
    };
    let help = || {
        begun.fetch_add(1, Ordering::SeqCst);
        wait();
        executor.set_limit(0);
        Progress::Done
    };
    executor.with_workers(limit, Lend::Later, &help, |_, _| wait());
}

#[test]
fn every_caller_gets_a_permit() {
    check(|| {
        let limit = 2;
        let (executor, permits) = (Executor::for_test(limit), Permits::new(limit));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let caller = Caller::new(executor);
                    for _ in 0..2 {
                        caller.next_turn(&never).unwrap();
                        permits.compute();
                    }
                });
            }
        });
        check_idle(executor, limit);
    });
}

#[test]
fn a_caller_that_lends_its_permit_gets_it_again() {
    check(|| {
        let (executor, permits) = (Executor::for_test(1), Permits::new(1));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let caller = Caller::new(executor);
                    caller.next_turn(&never).unwrap();
                    permits.compute();
                    // A call of the same thread within `lending`, like that of a signal handler.
                    let nested = || {
                        let inner = Caller::new(executor);
                        inner.next_turn(&never)?;
                        permits.compute();
                        Ok(())
                    };
                    caller.lending(nested, &never).unwrap();
                    permits.compute();
                });
            }
        });
        check_idle(executor, 1);
    });
}

#[test]
fn workers_help_every_call_and_leave() {
    for lend in [true, false] {
        let program = move || {
            let limit = 2;
            let (executor, permits) = (Executor::for_test(limit), Permits::new(limit));
            thread::scope(|scope| {
                for _ in 0..2 {
                    let permits = &permits;
                    scope.spawn(move || {
                        let left = AtomicUsize::new(3);
                        let take =
                            || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                        let help = || {
                            while take() {
                                permits.compute();
                                if executor.contended() {
                                    return Progress::More;
                                }
                            }
                            Progress::Done
                        };
                        let lend = if lend { Lend::Later } else { Lend::Now };
                        executor.with_workers(limit - 1, lend, &help, |workers, _| {
                            let caller = Caller::new(executor);
                            while caller.next_turn(&never).is_ok() && take() {
                                permits.compute();
                            }
                            caller.give_back();
                            workers.check().unwrap();
                        });
                        assert_eq!(left.load(Ordering::SeqCst), 0);
                    });
                }
            });
            check_idle(executor, limit);
        };
        check_random(program, 3000);
        check_pct(program, 3000, 3);
    }
}

#[test]
fn a_caller_whose_work_is_done_elsewhere_leaves_the_queue() {
    check(|| {
        let executor = Executor::for_test(1);
        let done = AtomicBool::new(false);
        let first = Caller::new(executor);
        first.next_turn(&never).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let caller = Caller::new(executor);
                caller.turn_unless(&|| done.load(Ordering::SeqCst), &never).unwrap()
            });
            let other = scope.spawn(|| Caller::new(executor).next_turn(&never).unwrap());
            done.store(true, Ordering::SeqCst);
            executor.release(&[waiting.thread()]);
            waiting.thread().unpark();
            first.give_back();
            waiting.join().unwrap();
            other.join().unwrap();
        });
        check_idle(executor, 1);
    });
}

#[test]
fn a_worker_that_panics_leaves_its_call() {
    check(|| {
        let executor = Executor::for_test(2);
        let helped = AtomicBool::new(false);
        let help = || -> Progress {
            helped.store(true, Ordering::SeqCst);
            std::panic::panic_any("of a worker")
        };
        let call = || executor.with_workers(1, Lend::Later, &help, |_, _| thread::yield_now());
        let panicked = catch_unwind(AssertUnwindSafe(call)).is_err();
        assert_eq!(panicked, helped.load(Ordering::SeqCst));
        check_idle(executor, 2);
    });
}
