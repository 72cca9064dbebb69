//! Options of the server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use subtle::{Choice, ConstantTimeEq};

use crate::options::options;

/// Keys that requests need one of. Without keys every request is answered.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<String>);

impl ApiKeys {
    /// Makes keys of their texts. Empty ones are left out.
    pub fn new(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(keys.into_iter().map(Into::into).filter(|key: &String| !key.is_empty()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares a key with all keys, in a time that doesn't depend on their contents.
    pub(super) fn allow(&self, key: &[u8]) -> bool {
        self.0.iter().fold(Choice::from(0), |any, known| any | known.as_bytes().ct_eq(key)).into()
    }
}

impl fmt::Debug for ApiKeys {
    /// Writes the number of keys without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({} keys)", self.0.len())
    }
}

options! {
    /// Options of a [`Server`](super::Server). The defaults are TEI's, but for the address.
    ///
    /// # Examples
    /// ```
    /// use rushlight::server::ServerOptions;
    ///
    /// let options = ServerOptions::default().with_port(0).with_max_concurrent_requests(64usize);
    /// assert_eq!(options.host, "127.0.0.1");
    /// ```
    #[derive(Clone, Debug)]
    ServerOptions {
        /// Address or name to listen on.
        host: String => with_host(impl Into<String>),
        /// Port to listen on; 0 takes a free one.
        port: u16 => with_port(u16),
        /// Unix socket to listen on instead of an address.
        uds: Option<PathBuf> => with_uds(impl Into<Option<PathBuf>>),
        /// Requests that compute or wait at once. Further ones get status 429.
        max_concurrent_requests: usize => with_max_concurrent_requests(usize),
        /// Tokens of a text, and so of a micro-batch.
        max_batch_tokens: usize => with_max_batch_tokens(usize),
        /// Inputs of a request. More get status 413.
        max_client_batch_size: usize => with_max_client_batch_size(usize),
        /// Truncate texts that are too long, unless the request says otherwise.
        auto_truncate: bool => with_auto_truncate(bool),
        /// Bytes of a body. More get status 413.
        payload_limit: usize => with_payload_limit(usize),
        /// Connections at once. Further ones wait to be accepted.
        max_connections: usize => with_max_connections(usize),
        /// Time for the head of a request, also while a connection is idle. Then the connection is closed.
        header_timeout: Duration => with_header_timeout(Duration),
        /// Time for the body of a request. A later one gets status 408.
        body_timeout: Duration => with_body_timeout(Duration),
        /// Time for running requests to end after [`Server::stop`](super::Server::stop).
        grace_period: Duration => with_grace_period(Duration),
        /// Time without a request after which a model that was loaded from a folder is unloaded; `None` keeps it.
        keep_alive: Option<Duration> => with_keep_alive(impl Into<Option<Duration>>),
        /// Keys that requests need one of.
        api_keys: ApiKeys => with_api_keys(ApiKeys),
        /// Origins of pages that may send requests; `*` allows all.
        cors_allow_origin: Vec<String> => with_cors_allow_origin(impl Into<Vec<String>>),
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3000,
            uds: None,
            max_concurrent_requests: 512,
            max_batch_tokens: 16_384,
            max_client_batch_size: 32,
            auto_truncate: true,
            payload_limit: 2_000_000,
            max_connections: 16_384,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            grace_period: Duration::from_secs(30),
            keep_alive: None,
            api_keys: ApiKeys::default(),
            cors_allow_origin: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_whole_and_never_shown() {
        let keys = ApiKeys::new(["secret", "", "another"]);
        assert!(keys.allow(b"secret") && keys.allow(b"another"));
        for wrong in ["", "secre", "secrets", "Secret"] {
            assert!(!keys.allow(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{keys:?}"), "ApiKeys(2 keys)");
        assert!(ApiKeys::new([""]).is_empty());
    }
}
