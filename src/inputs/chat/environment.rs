//! The template engine, set up as transformers sets up Jinja for chat templates.

use std::io;
use std::panic::resume_unwind;

use jiff::ZonedDateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::pycompat;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Budget of instructions and memory of one render, so that no template runs forever: about 128 MB of text.
const FUEL: u64 = 1 << 21;

/// Stack of a thread that compiles or renders. The engine recurses for each operator of an expression and for each level of
/// a value, which the template's size and the budget bound. The system gives memory for what is used alone.
const STACK: usize = 256 << 20;

/// Maximum `indent` of `tojson`, which the budget doesn't count. Templates have 2 or 4.
const MAX_INDENT: usize = 64;

/// Maximum nesting of macros and blocks. The engine's own, 500, overflows stacks of 1 MB.
const MAX_NESTING: usize = 100;

/// Makes an environment without a template.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.unwrap_or_default());
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_NESTING);
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment
}

/// Runs `work` of the engine on a stack that no template overflows.
///
/// # Errors
/// The system's, when it has no more threads or memory.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Describes an error, with its line in the template.
pub(super) fn message(error: &Error) -> String {
    let problem = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("line {line}: {problem}"),
        None => problem,
    }
}

/// Replaces the tags of `{% generation %}`, which mark a part of the text for training, by ones without effect.
pub(super) fn without_generation(source: &str) -> String {
    let mut replaced = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        let (tag, after) = tag.split_at(tag.find("%}").unwrap_or(tag.len()));
        replaced.push_str(before);
        match tag.trim_matches(|c: char| "{%-+".contains(c) || c.is_whitespace()) {
            "generation" => replaced.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => replaced.push_str(&tag.replace("endgeneration", "endif")),
            _ => replaced.push_str(tag),
        }
        rest = after;
    }
    replaced + rest
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Formats the local time like Python's `strftime`.
fn strftime_now(format: String) -> Result<String, Error> {
    let formatted = jiff::fmt::strtime::format(&format, &ZonedDateTime::now());
    formatted.map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}")))
}

/// Formats a value like Python's `json.dumps` with `ensure_ascii=False`.
fn to_json(value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let _: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    if let Some(indent) = indent.filter(|indent| *indent > MAX_INDENT) {
        let problem = format!("tojson: indent must be at most {MAX_INDENT}, got {indent}");
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let json = match indent {
        Some(indent) => dumps(value, PrettyFormatter::with_indent(" ".repeat(indent).as_bytes())),
        None => dumps(value, Spaced),
    };
    json.map_err(|error| Error::new(ErrorKind::BadSerialization, format!("tojson: {error}")))
}

fn dumps(value: &Value, formatter: impl Formatter) -> Result<String, Box<dyn std::error::Error>> {
    let mut json = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut json, formatter))?;
    Ok(String::from_utf8(json)?)
}

/// Python's separators: a space after each comma and colon.
struct Spaced;

impl Spaced {
    fn separate<W: ?Sized + io::Write>(writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        Self::separate(writer, first)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        Self::separate(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
