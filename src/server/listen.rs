//! Accepting connections, on an address or a Unix socket, and ending them in order.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::app::App;
use super::options::ServerOptions;
use crate::error::{Error, Result};

/// Socket that listens, before there is a runtime.
pub(super) enum Listener {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

/// Socket that accepts connections.
enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, #[expect(dead_code, reason = "it removes the socket when it is dropped")] SocketFile),
}

/// File of a Unix socket, which is removed at the end.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Someone else may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens where the options say.
    ///
    /// # Errors
    /// [`Error::Io`] if the address or the path is taken or forbidden.
    pub(super) fn bind(options: &ServerOptions) -> Result<Self> {
        if let Some(path) = &options.uds {
            return Self::bind_unix(path).map_err(|error| Error::io(path, error));
        }
        let bind = || {
            let listener = std::net::TcpListener::bind((options.host.as_str(), options.port))?;
            listener.set_nonblocking(true)?;
            Ok(Self::Tcp(listener))
        };
        bind().map_err(|error| Error::io(format!("{}:{}", options.host, options.port), error))
    }

    #[cfg(unix)]
    fn bind_unix(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        use std::os::unix::net::{UnixListener, UnixStream};
        // A socket that nobody listens on is left from a server that was killed.
        let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
        if is_socket && UnixStream::connect(path).is_err() {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let file = SocketFile(path.to_path_buf());
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(listener, file))
    }

    #[cfg(not(unix))]
    fn bind_unix(_: &Path) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "Unix sockets need Unix"))
    }

    /// Returns the URL of the server.
    pub(super) fn url(&self) -> Result<String> {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr().map_err(|error| Error::io("socket", error))?;
                Ok(format!("http://{address}"))
            }
            #[cfg(unix)]
            Self::Unix(_, file) => Ok(format!("unix:{}", file.0.display())),
        }
    }

    /// Registers the socket with the runtime that calls this.
    fn acceptor(self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Tcp(listener) => Acceptor::Tcp(TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Self::Unix(listener, file) => Acceptor::Unix(UnixListener::from_std(listener)?, file),
        })
    }
}

impl Acceptor {
    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written at once, so that waiting for more to send only delays them.
                let _ = stream.set_nodelay(true);
                Ok(Box::pin(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => Ok(Box::pin(listener.accept().await?.0)),
        }
    }
}

/// Stream of bytes in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Sync {
    /// Waits until there are bytes to read, or the client has left.
    fn readable(&self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>>;
}

impl Stream for TcpStream {
    fn readable(&self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
        Box::pin(async { self.peek(&mut [0]).await.map(|_| ()) })
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn readable(&self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
        Box::pin(self.readable())
    }
}

type Connection = Pin<Box<dyn Stream>>;

/// Serves until `stop`, and then until running requests have ended or the grace period has.
///
/// # Errors
/// Errors of registering the socket with the runtime.
pub(super) async fn serve(
    listener: Listener,
    routes: Router,
    app: Arc<App>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let acceptor = listener.acceptor()?;
    let connections = Arc::new(Semaphore::new(app.options.max_connections.min(Semaphore::MAX_PERMITS)));
    let http = http(&app.options);
    let graceful = GracefulShutdown::new();
    let (closing, _) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, acceptor.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                // The process has too many open files, until a connection ends.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(routes.clone());
        let (http, watcher, mut closing) = (http.clone(), graceful.watcher(), closing.subscribe());
        let patience = app.options.header_timeout;
        tokio::spawn(async move {
            let _permit = permit;
            // hyper's timeout of headers begins with the first byte.
            let first = tokio::select! {
                first = tokio::time::timeout(patience, stream.readable()) => first,
                _ = closing.changed() => return,
            };
            if first.is_err() {
                return;
            }
            let connection = watcher.watch(http.serve_connection(TokioIo::new(stream), service).into_owned());
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection failed");
            }
        });
    }
    drop(acceptor);
    app.drain();
    closing.send_replace(());
    tracing::info!(running = app.running(), "stopping");
    if tokio::time::timeout(app.options.grace_period, graceful.shutdown()).await.is_err() {
        tracing::warn!(running = app.running(), "the grace period has ended; running requests get no answer");
    }
    Ok(())
}

fn http(options: &ServerOptions) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(options.header_timeout)
        .keep_alive_timeout(options.header_timeout);
    http
}
