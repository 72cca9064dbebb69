//! Tests of pools, with devices that fail, panic and hang.

use std::time::Duration;

use super::*;
use crate::threads::executor::Caller;

/// A device with a delay for each chunk and a behaviour by the chunk's first input.
struct Device {
    delay: Duration,
    chunks: AtomicUsize,
    behaves: fn(usize) -> Behaviour,
}

enum Behaviour {
    Well,
    Fails,
    Panics,
    /// Hangs until it is stopped.
    Hangs,
}

impl Device {
    fn new(milliseconds: u64, behaves: fn(usize) -> Behaviour) -> Self {
        Self { delay: Duration::from_millis(milliseconds), chunks: AtomicUsize::new(0), behaves }
    }

    /// Returns the numbers that the texts hold: their indices.
    fn embed(&self, chunk: &[Input<'_>], observer: &dyn Observer) -> Result<Vec<usize>> {
        let first = number(&chunk[0]);
        self.chunks.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.delay);
        match (self.behaves)(first) {
            Behaviour::Well => Ok(chunk.iter().map(number).collect()),
            Behaviour::Fails => Err(Error::InvalidInput { index: 1, problem: "is bad".to_owned() }),
            Behaviour::Panics => panic!("at {first}"),
            Behaviour::Hangs => {
                while !observer.interrupted() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Error::Interrupted)
            }
        }
    }
}

fn number(input: &Input<'_>) -> usize {
    match input {
        Input::Text(text) => text.parse().unwrap(),
        Input::Pair(..) | Input::Ids(_) | Input::Image(_) => panic!("no text"),
    }
}

fn well(_: usize) -> Behaviour {
    Behaviour::Well
}

/// Embeds with as many threads as devices.
fn run(devices: &[Device], inputs: usize, chunk_size: usize, observer: &dyn Observer) -> Result<Vec<usize>> {
    run_on(Executor::for_test(devices.len()), devices, inputs, chunk_size, observer)
}

fn run_on(
    executor: &'static Executor,
    devices: &[Device],
    inputs: usize,
    chunk_size: usize,
    observer: &dyn Observer,
) -> Result<Vec<usize>> {
    let texts: Vec<_> = (0..inputs).map(|i| i.to_string()).collect();
    let inputs = Input::texts(&texts);
    let chunks: Vec<_> = inputs.chunks(chunk_size).collect();
    shard(executor, devices, &chunks, observer, Device::embed).map(|chunks| chunks.concat())
}

/// A device that computes on the CPU waits for a permit, which its driver must not hold.
#[test]
fn devices_on_the_cpu_share_any_limit_of_threads() {
    for limit in [1, 2, 5] {
        let executor = Executor::for_test(limit);
        let computing = AtomicUsize::new(0);
        let embed = |_: &(), chunk: &[Input<'_>], _: &dyn Observer| {
            let caller = Caller::new(executor);
            caller.next_turn(&|| Ok(()))?;
            assert!(computing.fetch_add(1, Ordering::SeqCst) < limit);
            std::thread::sleep(Duration::from_micros(100));
            computing.fetch_sub(1, Ordering::SeqCst);
            Ok(chunk.len())
        };
        let inputs = [Input::Text("a"); 100];
        let chunks: Vec<_> = inputs.chunks(1).collect();
        let lengths = shard(executor, &[(); 3], &chunks, &NoObserver, embed).unwrap();
        assert_eq!(lengths, [1; 100]);
    }
}

#[test]
fn many_calls_at_once_make_no_more_threads_than_the_limit_and_keep_them() {
    let executor = Executor::for_test(4);
    let mut threads = std::collections::HashSet::new();
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let devices = [Device::new(0, well), Device::new(0, well), Device::new(0, well)];
                    assert_eq!(run_on(executor, &devices, 50, 1, &NoObserver).unwrap().len(), 50);
                });
            }
        });
        threads.extend(executor.worker_threads());
    }
    assert!((1..=4).contains(&threads.len()), "{threads:?}");
}

#[test]
fn progress_grows_to_all_inputs_on_the_callers_thread() {
    struct Watched {
        caller: std::thread::ThreadId,
        done: AtomicUsize,
    }
    impl Observer for Watched {
        fn progress(&self, done: usize, total: usize) {
            assert_eq!((std::thread::current().id(), total), (self.caller, 301));
            assert!(self.done.fetch_max(done, Ordering::SeqCst) <= done);
        }
    }
    let observer = Watched { caller: std::thread::current().id(), done: AtomicUsize::new(0) };
    let devices = [Device::new(1, well), Device::new(0, well)];
    run(&devices, 301, 3, &observer).unwrap();
    assert_eq!(observer.done.into_inner(), 301);
}

#[test]
fn the_order_is_kept_and_a_slow_device_does_less() {
    let devices = [Device::new(0, well), Device::new(30, well), Device::new(2, well)];
    assert_eq!(run(&devices, 301, 3, &NoObserver).unwrap(), (0..301).collect::<Vec<_>>());
    let [fast, slow, _] = devices.each_ref().map(|device| device.chunks.load(Ordering::Relaxed));
    assert!(slow < fast / 2, "{slow} {fast}");
}

#[test]
fn the_first_error_reaches_the_caller_with_the_index_of_its_input() {
    // Chunk 8 fails at once. Chunk 4, on a slow device, fails later and is the first.
    let devices = [
        Device::new(20, |first| if first == 12 { Behaviour::Fails } else { Behaviour::Well }),
        Device::new(20, |first| if first == 12 { Behaviour::Fails } else { Behaviour::Well }),
        Device::new(0, |first| if first >= 24 { Behaviour::Fails } else { Behaviour::Well }),
    ];
    for _ in 0..3 {
        let error = run(&devices, 3000, 3, &NoObserver).unwrap_err();
        assert!(matches!(error, Error::InvalidInput { index: 13 | 25.., .. }), "{error}");
        assert!(devices.iter().all(|device| device.chunks.load(Ordering::Relaxed) < 900));
    }
}

#[test]
fn a_panic_goes_on_in_the_caller_and_the_devices_stay_usable() {
    static BROKEN: AtomicBool = AtomicBool::new(true);
    let breaks = |first| match BROKEN.load(Ordering::Relaxed) && first >= 6 {
        true => Behaviour::Panics,
        false => Behaviour::Well,
    };
    let devices = [Device::new(1, breaks), Device::new(0, breaks)];
    let panic = catch_unwind(AssertUnwindSafe(|| run(&devices, 100, 2, &NoObserver))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().starts_with("at "));
    BROKEN.store(false, Ordering::Relaxed);
    assert_eq!(run(&devices, 100, 2, &NoObserver).unwrap().len(), 100);
}

#[test]
fn devices_that_hang_are_stopped_with_the_call() {
    struct Impatient(AtomicUsize);
    impl Observer for Impatient {
        fn interrupted(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) >= 2
        }
    }
    let devices = [Device::new(0, |_| Behaviour::Hangs), Device::new(0, |_| Behaviour::Hangs)];
    let error = run(&devices, 100, 2, &Impatient(AtomicUsize::new(0))).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
}

#[test]
fn a_device_that_hangs_behind_a_failure_is_stopped() {
    let devices = [
        Device::new(5, |first| if first == 0 { Behaviour::Fails } else { Behaviour::Hangs }),
        Device::new(5, |first| if first == 0 { Behaviour::Fails } else { Behaviour::Hangs }),
    ];
    let error = run(&devices, 100, 2, &NoObserver).unwrap_err();
    assert!(matches!(error, Error::InvalidInput { index: 1, .. }), "{error}");
}
