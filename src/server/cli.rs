//! The command `rushlight serve`: flags, environment variables, signals, logs.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};
use tracing_subscriber::filter::LevelFilter;

use super::{ApiKeys, Models, Server, ServerOptions};
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::{Device, Dtype, process, source};

/// Serve models over HTTP to clients of OpenAI, text-embeddings-inference, Cohere, Jina and vLLM.
///
/// MODEL is the folder of a model, or its name on the Hugging Face hub; NAME=MODEL gives it another name in requests. All
/// kinds of models are served on one port. Answers have the bits of the library.
#[derive(Debug, Parser)]
#[command(name = "rushlight serve", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct ServeCommand {
    /// Models to serve.
    #[arg(value_name = "MODEL", env = "MODEL_ID", value_delimiter = ',', required = true)]
    models: Vec<String>,
    /// Address to listen on. The variable counts if it is an IP address or localhost: shells set it to the machine's name.
    #[arg(long, env = "HOSTNAME", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, short, env = "PORT", default_value_t = 3000)]
    port: u16,
    /// Unix socket to listen on instead.
    #[arg(long, env = "UDS_PATH", value_name = "PATH")]
    uds: Option<PathBuf>,
    /// Branch, tag or commit of the models.
    #[arg(long, env = "REVISION")]
    revision: Option<String>,
    /// Number type to compute in: float32, bfloat16, int8 (on a CPU) or float16 (on a GPU).
    #[arg(long, env = "DTYPE", default_value = "float32")]
    dtype: Dtype,
    /// Device to compute on: cpu, cuda, cuda:1, mps or metal [default: the best].
    #[arg(long, env = "DEVICE")]
    device: Option<Device>,
    /// Hugging Face cache to use instead of the default one.
    #[arg(long, env = "HUGGINGFACE_HUB_CACHE", value_name = "FOLDER")]
    cache_folder: Option<PathBuf>,
    /// Folder of packed weights, which servers on a machine share.
    #[arg(long, env = "PACKED_FOLDER", value_name = "FOLDER")]
    packed_folder: Option<PathBuf>,
    /// Never use the network to find models.
    #[arg(long)]
    local_files_only: bool,
    /// Name of the model in requests, if there is one model.
    #[arg(long, env = "SERVED_MODEL_NAME", value_name = "NAME")]
    served_model_name: Option<String>,
    /// Requests at once; more get status 429.
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", value_name = "N", default_value_t = 512)]
    max_concurrent_requests: usize,
    /// Tokens of a text and of a micro-batch; longer texts are truncated.
    #[arg(long, env = "MAX_BATCH_TOKENS", value_name = "N", default_value_t = 16_384)]
    max_batch_tokens: usize,
    /// Texts of a micro-batch [default: as many as are fastest].
    #[arg(long, env = "MAX_BATCH_REQUESTS", value_name = "N")]
    max_batch_requests: Option<NonZeroUsize>,
    /// Inputs of a request; more get status 413.
    #[arg(long, env = "MAX_CLIENT_BATCH_SIZE", value_name = "N", default_value_t = 32)]
    max_client_batch_size: usize,
    /// Truncate long texts, unless a request says otherwise.
    #[arg(
        long,
        env = "AUTO_TRUNCATE",
        value_name = "BOOL",
        default_value_t = true,
        num_args = 0..=1,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    auto_truncate: bool,
    /// Text to put before every input.
    #[arg(long, env = "DEFAULT_PROMPT", value_name = "TEXT", conflicts_with = "default_prompt_name")]
    default_prompt: Option<String>,
    /// Name of the model's prompt to put before every input.
    #[arg(long, env = "DEFAULT_PROMPT_NAME", value_name = "NAME")]
    default_prompt_name: Option<String>,
    /// Bytes of a body; more get status 413.
    #[arg(long, env = "PAYLOAD_LIMIT", value_name = "BYTES", default_value_t = 2_000_000)]
    payload_limit: usize,
    /// Connections at once; more wait.
    #[arg(long, env = "MAX_CONNECTIONS", value_name = "N", default_value_t = 16_384)]
    max_connections: usize,
    /// Seconds for a request's head, and for an idle connection.
    #[arg(long, env = "HEADER_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    header_timeout: Duration,
    /// Seconds for a request's body.
    #[arg(long, env = "BODY_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    body_timeout: Duration,
    /// Seconds for running requests to end after SIGTERM.
    #[arg(long, env = "GRACE_PERIOD", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    grace_period: Duration,
    /// Seconds without a request after which a model is unloaded [default: never].
    #[arg(long, env = "KEEP_ALIVE", value_name = "SECONDS", value_parser = seconds)]
    keep_alive: Option<Duration>,
    /// Key that requests must have, as Authorization: Bearer KEY; several are separated by commas.
    #[arg(long, env = "API_KEY", value_name = "KEY", value_delimiter = ',', hide_env_values = true)]
    api_key: Vec<String>,
    /// File with a key in each line.
    #[arg(long, env = "API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Origins of pages that may send requests, separated by commas; * allows all.
    #[arg(long, env = "CORS_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    cors_allow_origin: Vec<String>,
    /// Write logs as lines of JSON.
    #[arg(long, env = "JSON_OUTPUT", value_parser = BoolishValueParser::new())]
    json_output: bool,
    /// Logs to write: error, warn, info, debug or off.
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
    /// URL of an OpenTelemetry collector, such as http://localhost:4318, to send traces to by OTLP over HTTP.
    #[arg(long, env = "OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Threads that compute [default: RUSHLIGHT_NUM_THREADS, or the cores of this process].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Error of words that make no command.
pub use clap::Error as UsageError;

const AFTER_HELP: &str = "\
exit status: 0: stopped by SIGTERM or Ctrl-C; 1: error; 2: usage error; 143: stopped by a second signal, or while loading

examples:
  rushlight serve all-MiniLM-L6-v2
  rushlight serve text-embedding-3-small=all-MiniLM-L6-v2 --port 8080";

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let parsed = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.ok_or_else(|| format!("must be a number of seconds, got {text:?}"))
}

impl ServeCommand {
    /// Parses the words after `rushlight serve`, and the environment.
    ///
    /// # Errors
    /// clap's error, which prints itself, also for `--help`.
    pub fn parse_words(words: impl IntoIterator<Item = OsString>) -> std::result::Result<Self, clap::Error> {
        Self::try_parse_from(std::iter::once("rushlight serve".into()).chain(words))
    }

    /// Parses words like [`ServeCommand::parse_words`], without the environment.
    ///
    /// # Errors
    /// The errors of [`ServeCommand::parse_words`].
    pub fn parse_words_alone(words: impl IntoIterator<Item = OsString>) -> std::result::Result<Self, clap::Error> {
        let command = Self::command().mut_args(|flag| flag.env(None::<&'static str>));
        let matches = command.try_get_matches_from(std::iter::once("rushlight serve".into()).chain(words))?;
        Self::from_arg_matches(&matches)
    }

    /// Returns the options of the server.
    ///
    /// # Errors
    /// [`Error::Io`] if the file of keys can't be read.
    pub fn options(&self) -> Result<ServerOptions> {
        let mut keys = self.api_key.clone();
        if let Some(path) = &self.api_key_file {
            let file = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
            keys.extend(file.lines().map(|line| line.trim().to_owned()));
        }
        let api_keys = ApiKeys::new(keys);
        let given = !self.api_key.is_empty() || self.api_key_file.is_some();
        if given && api_keys.is_empty() {
            return Err(Error::argument("api_key", "must have a key that isn't empty"));
        }
        Ok(ServerOptions {
            host: self.host(),
            port: self.port,
            uds: self.uds.clone(),
            max_concurrent_requests: self.max_concurrent_requests,
            max_batch_tokens: self.max_batch_tokens,
            max_client_batch_size: self.max_client_batch_size,
            auto_truncate: self.auto_truncate,
            payload_limit: self.payload_limit,
            max_connections: self.max_connections,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            grace_period: self.grace_period,
            keep_alive: self.keep_alive,
            api_keys,
            cors_allow_origin: self.cors_allow_origin.clone(),
        })
    }

    /// Returns the address. Shells and containers set HOSTNAME to the machine's name, which nobody chose to listen on.
    fn host(&self) -> String {
        let ambient = std::env::var("HOSTNAME").is_ok_and(|name| name == self.host);
        let is_address = self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok();
        if ambient && !is_address { "127.0.0.1".to_owned() } else { self.host.clone() }
    }

    /// Returns the models to serve: the name in requests, and the name or folder to find.
    pub fn models(&self) -> Vec<(String, &str)> {
        self.models.iter().map(|model| self.named(model)).collect()
    }

    /// Loads the models from their folders, in the order of [`ServeCommand::models`].
    ///
    /// # Errors
    /// The errors of loading a model.
    pub fn load(&self, folders: Vec<PathBuf>) -> Result<Models> {
        if let Some(threads) = self.threads {
            process::set_num_threads(threads)?;
        }
        if self.served_model_name.is_some() && self.models.len() > 1 {
            let problem = "names one model; write NAME=MODEL to name several";
            return Err(Error::argument("served_model_name", problem));
        }
        let mut models = Models::default();
        for (i, ((name, _), folder)) in self.models().into_iter().zip(folders).enumerate() {
            let start = std::time::Instant::now();
            tracing::info!(name, folder = %folder.display(), "loading {} of {}", i + 1, self.models.len());
            models.load(&name, folder, self.load_options())?;
            tracing::info!(name, seconds = start.elapsed().as_secs_f64(), "loaded");
        }
        Ok(models)
    }

    /// Splits `NAME=MODEL`. A folder's name is its last component.
    fn named<'a>(&'a self, model: &'a str) -> (String, &'a str) {
        if let Some(name) = &self.served_model_name {
            return (name.clone(), model);
        }
        match model.split_once('=') {
            Some((name, model)) if !name.is_empty() && !Path::new(name).exists() => (name.to_owned(), model),
            _ if Path::new(model).is_dir() => {
                let folder = std::fs::canonicalize(model).unwrap_or_else(|_| model.into());
                (folder.file_name().map_or_else(|| model.to_owned(), |name| name.to_string_lossy().into_owned()), model)
            }
            _ => (model.to_owned(), model),
        }
    }

    /// Returns the options of loading the models, and of finding them.
    pub fn load_options(&self) -> LoadOptions {
        /// Name of the prompt that a flag gives.
        const GIVEN: &str = "default";
        let mut options = LoadOptions::default()
            .with_device(self.device)
            .with_dtype(self.dtype)
            .with_max_batch_texts(self.max_batch_requests)
            .with_local_files_only(self.local_files_only);
        options.revision.clone_from(&self.revision);
        options.cache_folder.clone_from(&self.cache_folder);
        options.packed_folder.clone_from(&self.packed_folder);
        options.default_prompt_name.clone_from(&self.default_prompt_name);
        if let Some(prompt) = &self.default_prompt {
            options = options.with_prompt(GIVEN, prompt).with_default_prompt_name(GIVEN);
        }
        options
    }

    /// Sends traces to the collector that the flag names, until the result is dropped.
    #[cfg(feature = "otlp")]
    fn traces(&self) -> Result<Option<super::traces::Traces>> {
        self.otlp_endpoint.as_deref().map(super::traces::Traces::start).transpose()
    }

    #[cfg(not(feature = "otlp"))]
    fn traces(&self) -> Result<Option<std::convert::Infallible>> {
        match &self.otlp_endpoint {
            None => Ok(None),
            Some(_) => Err(Error::argument("otlp_endpoint", "needs a build with the feature otlp, which wheels lack")),
        }
    }

    /// Writes logs to stderr from now on, unless the program has its own.
    pub fn log(&self) {
        let log =
            tracing_subscriber::fmt().with_max_level(self.log_level).with_writer(std::io::stderr).with_target(false);
        // A program that logs already keeps its way.
        let _ = match self.json_output {
            true => log.json().flatten_event(true).try_init(),
            false => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        };
    }

    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// The errors of [`ServeCommand::load`] and [`Server::start`].
    pub fn run(&self, folders: Vec<PathBuf>) -> Result<()> {
        raise_open_files();
        let options = self.options()?;
        let _traces = self.traces()?;
        let serving = Arc::new(OnceLock::new());
        watch_signals(Arc::clone(&serving))?;
        let started = Server::start(self.load(folders)?, options)?;
        let server = serving.get_or_init(|| started);
        tracing::info!(url = server.url(), "serving");
        server.wait();
        tracing::info!("stopped");
        Ok(())
    }
}

/// Allows as many open connections as the system lets this process have.
fn raise_open_files() {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where it is refused, there are fewer connections at once.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Watches SIGTERM and Ctrl-C from now on. The first stops the server; while models load, and the second time, it ends the
/// process at once.
fn watch_signals(server: Arc<OnceLock<Server>>) -> Result<()> {
    const TERMINATED: i32 = 143;
    let error = |error| Error::io("signals", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(error)?;
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(error)?;
    let watch = move || {
        runtime.block_on(signals.next());
        match server.get() {
            Some(server) => server.begin_stop(),
            None => std::process::exit(TERMINATED),
        }
        drop(server);
        runtime.block_on(signals.next());
        std::process::exit(TERMINATED);
    };
    std::thread::Builder::new().name("rushlight-signals".to_owned()).spawn(watch).map(|_| ()).map_err(error)
}

/// Signals that end a server.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // Without a handler the system ends the process.
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Runs `rushlight serve` for the binary: `words` follow the program's name.
#[expect(clippy::print_stderr, reason = "a command's errors go to stderr")]
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words = words.into_iter().peekable();
    if words.next_if(|word| word == "serve").is_none()
        && words.peek().is_none_or(|word| !word.to_string_lossy().starts_with('-'))
    {
        eprintln!("rushlight: error: the command is serve (see rushlight serve --help)");
        return ExitCode::from(2);
    }
    let command = match ServeCommand::parse_words(words) {
        Ok(command) => command,
        Err(error) => {
            // Nobody may read the message.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    command.log();
    let options = command.load_options();
    let find = |(_, name)| source::find(Path::new(name), source::SENTENCE_TRANSFORMERS, &options, Vec::new());
    let folders = command.models().into_iter().map(find).collect::<Result<_>>();
    match folders.and_then(|folders| command.run(folders)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rushlight: error: {error}");
            ExitCode::FAILURE
        }
    }
}
