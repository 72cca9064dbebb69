//! HTTP server, with the routes of OpenAI, text-embeddings-inference (TEI), Cohere, Jina and vLLM (feature `server`).
//!
//! [`Server::start`] serves models on a thread of its own. [`router`] returns the routes alone, to mount in a service. An
//! answer has the bits of a call of the library, since these don't depend on the batch.
//!
//! ```
//! use rushlight::server::{AnyModel, Models, Server, ServerOptions};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
//! let mut models = Models::default();
//! models.add("my-model", AnyModel::from_dir(folder)?)?;
//! let server = Server::start(models, ServerOptions::default().with_port(0))?;
//! println!("{}/v1/embeddings", server.url());
//! server.stop();
//! # Ok::<(), rushlight::Error>(())
//! ```

mod access;
mod app;
mod body;
pub mod cli;
mod compute;
mod failure;
mod listen;
mod metrics;
mod models;
mod options;
mod routes;
mod running;
mod schema;
#[cfg(feature = "otlp")]
mod traces;

use axum::Router;

use crate::error::Result;

pub use models::{AnyModel, Models};
pub use options::{ApiKeys, ServerOptions};
pub use running::Server;

/// Returns the routes of a server, to mount in another service.
///
/// The options of sockets, timeouts of headers and connections have no effect here: they are the service's.
///
/// # Errors
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an option that is out of range.
pub fn router(models: Models, options: ServerOptions) -> Result<Router> {
    Ok(routes::router(app::App::new(models, options)?))
}
