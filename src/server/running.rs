//! A running server, on threads of its own.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::app::App;
use super::listen::{Listener, serve};
use super::models::Models;
use super::options::ServerOptions;
use super::routes;
use crate::error::{Error, Result};
use crate::process;
use crate::threads::executor::lock;

/// Running server. Dropping it stops it.
///
/// # Examples
/// ```
/// use rushlight::server::{AnyModel, Models, Server, ServerOptions};
///
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
/// let mut models = Models::default();
/// models.add("my-model", AnyModel::from_dir(folder)?)?;
/// let server = Server::start(models, ServerOptions::default().with_port(0))?;
/// assert!(server.url().starts_with("http://127.0.0.1:"));
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    url: String,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Serves models on a thread of its own, once it listens.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option that is out of range, [`Error::Io`] if it can't listen.
    pub fn start(models: Models, options: ServerOptions) -> Result<Self> {
        let app = App::new(models, options)?;
        let listener = Listener::bind(&app.options)?;
        let url = listener.url()?;
        let runtime = runtime(&app.options).map_err(|error| Error::io("tokio", error))?;
        let (stop, mut stopped) = watch::channel(false);
        let until = async move {
            // The server stops, too, when its handle is dropped.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let run = move || run(runtime, listener, app, until);
        let thread = std::thread::Builder::new().name("rushlight-serve".to_owned()).spawn(run);
        let thread = Mutex::new(Some(thread.map_err(|error| Error::io("thread", error))?));
        Ok(Self { url, stop, thread })
    }

    /// URL to put before routes, such as `http://127.0.0.1:3000`; `unix:` and the path for a Unix socket.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops accepting connections, and waits until running requests have ended or the grace period has.
    pub fn stop(&self) {
        self.begin_stop();
        self.wait();
    }

    /// Stops like [`Server::stop`], without waiting.
    pub fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the server has stopped.
    pub fn wait(&self) {
        let thread = lock(&self.thread).take();
        // The standard library has written a panic's message.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes a runtime. Its few threads read and write; each request that computes has a thread that may block.
fn runtime(options: &ServerOptions) -> std::io::Result<Runtime> {
    /// Threads for tokenizing and for health, beside those of requests.
    const OTHERS: usize = 16;
    let cores = process::num_threads().unwrap_or(1);
    Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(4).max(1))
        .max_blocking_threads(options.max_concurrent_requests.saturating_add(OTHERS).min(100_000))
        .thread_name("rushlight-http")
        .enable_all()
        .build()
}

/// Runs a server to its end.
fn run(runtime: Runtime, listener: Listener, app: Arc<App>, until: impl Future<Output = ()>) {
    /// Time for computations to notice that their request is gone.
    const LAST: Duration = Duration::from_secs(1);
    runtime.block_on(async {
        for served in app.models.iter() {
            if !routes::probe(served).await {
                tracing::error!(model = served.name, "the model doesn't compute; /health answers 503");
            }
        }
        let idle = app.options.keep_alive.map(|idle| tokio::spawn(unload_idle(Arc::clone(&app), idle)));
        if let Err(error) = serve(listener, routes::router(Arc::clone(&app)), Arc::clone(&app), until).await {
            tracing::error!(%error, "the socket can't be used");
        }
        idle.inspect(|task| task.abort());
    });
    runtime.shutdown_timeout(LAST);
}

/// Unloads models that were idle for long.
async fn unload_idle(app: Arc<App>, idle: Duration) {
    loop {
        tokio::time::sleep((idle / 4).max(Duration::from_millis(10))).await;
        for served in app.models.iter() {
            served.unload_if_idle(idle).await;
        }
    }
}
