//! Conversion of Python's texts, pairs of texts and options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use rushlight::{Device, Dtype, Error, HubToken, Image, Input, LoadOptions, Pixels, Result, Role, Truncation};

use crate::columns::{Chunk, strings};
use crate::errors::{IntoPython, exception};

/// Text, pair or image, borrowed from Python's objects.
pub(crate) enum Text<'a> {
    One(PyBackedStr),
    Pair(PyBackedStr, PyBackedStr),
    Image(Source),
    /// Text of a column.
    Row(&'a str),
}

/// Inputs of a call: a list of texts, pairs and images, or a `rushlight._columns.Strings`.
#[derive(FromPyObject)]
pub(crate) enum Texts<'py> {
    List(Bound<'py, PyList>),
    Column { chunks: Vec<Chunk<'py>> },
}

/// Image, or the text in a dict, as `rushlight._images.source` returns it.
#[derive(FromPyObject)]
pub(crate) enum Source {
    Text(PyBackedStr),
    Bytes(PyBackedBytes),
    /// Content, width, height and channels of an array.
    Pixels(PyBackedBytes, usize, usize, usize),
    File(PathBuf),
}

impl Text<'_> {
    fn as_input(&self) -> Result<Input<'_>> {
        Ok(match self {
            Self::One(text) | Self::Image(Source::Text(text)) => Input::Text(text),
            Self::Row(text) => Input::Text(text),
            Self::Pair(first, second) => Input::Pair(first, second),
            Self::Image(Source::Bytes(bytes)) => Input::Image(Image::Bytes(bytes)),
            Self::Image(Source::File(path)) => Input::Image(Image::File(path)),
            Self::Image(Source::Pixels(data, width, height, channels)) => {
                Input::Image(Image::Pixels(Pixels::new(data, *width, *height, *channels)?))
            }
        })
    }
}

/// Converts texts to the crate's inputs.
pub(crate) fn inputs<'a>(texts: &'a [Text<'_>]) -> Result<Vec<Input<'a>>> {
    let mut inputs = Vec::new();
    reserve(&mut inputs, texts.len())?;
    for text in texts {
        inputs.push(text.as_input()?);
    }
    Ok(inputs)
}

/// Reserves capacity for `count` more texts. It can fail, because the caller chooses the count.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, count: usize) -> Result<()> {
    let bytes = count.saturating_mul(size_of::<T>());
    vec.try_reserve(count).map_err(|_| Error::Memory { what: "the texts".to_owned(), bytes })
}

/// Converts the items of a list or a column to texts and pairs. The error names the first invalid item by argument and
/// index; `first` is the index of the first item.
pub(crate) fn texts<'a>(argument: &str, first: usize, inputs: &'a Texts<'_>) -> PyResult<Vec<Text<'a>>> {
    texts_or_images(argument, first, inputs, false)
}

/// Converts items like [`texts`], and images if the model takes them.
pub(crate) fn texts_or_images<'a>(
    argument: &str,
    first: usize,
    inputs: &'a Texts<'_>,
    takes_images: bool,
) -> PyResult<Vec<Text<'a>>> {
    let list = match inputs {
        Texts::Column { chunks } => return strings(argument, first, chunks),
        Texts::List(list) => list,
    };
    let mut texts = Vec::new();
    reserve(&mut texts, list.len()).into_python(list.py())?;
    for (i, item) in list.iter().enumerate() {
        texts.push(text(|| format!("{argument}[{}]", first + i), &item, takes_images)?);
    }
    Ok(texts)
}

fn text(label: impl Fn() -> String, item: &Bound<'_, PyAny>, takes_images: bool) -> PyResult<Text<'static>> {
    if let Ok(string) = item.cast::<PyString>() {
        return Ok(Text::One(utf8(&label, string)?));
    }
    if let Some([first, second]) = pair(item) {
        return Ok(Text::Pair(utf8(&label, &first)?, utf8(&label, &second)?));
    }
    if let Some(image) = takes_images.then(|| image(&label, item)).transpose()?.flatten() {
        return Ok(Text::Image(image));
    }
    let got = match modality(item) {
        Some(modality) => format!("the modality {modality:?}, which is not supported"),
        None => item.get_type().fully_qualified_name()?.to_string(),
    };
    let or_image = if takes_images { ", or an image" } else { "" };
    let message = format!("{}: must be a str, or a pair of two{or_image}, got {got}", label());
    Err(exception(item.py(), "InvalidInputError", message))
}

/// Converts an image, or the text in a dict; `None` for other types.
fn image(label: impl Fn() -> String, item: &Bound<'_, PyAny>) -> PyResult<Option<Source>> {
    static SOURCE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = item.py();
    let source = SOURCE.import(py, "rushlight._images", "source")?;
    source.call1((label(), item))?.extract()
}

/// Returns the modality that a dict in sentence-transformers' form names, such as `{"image": …}`.
fn modality(item: &Bound<'_, PyAny>) -> Option<&'static str> {
    let by_modality = item.cast::<PyDict>().ok()?;
    ["image", "audio", "video"].into_iter().find(|name| by_modality.contains(name).unwrap_or(false))
}

/// Returns the two strings of a tuple or list, if it has exactly two.
fn pair<'py>(item: &Bound<'py, PyAny>) -> Option<[Bound<'py, PyString>; 2]> {
    let listed = item.is_instance_of::<PyTuple>() || item.is_instance_of::<PyList>();
    listed.then(|| item.extract().ok()).flatten()
}

fn utf8(label: impl Fn() -> String, string: &Bound<'_, PyString>) -> PyResult<PyBackedStr> {
    PyBackedStr::try_from(string.clone()).map_err(|error| {
        let message = format!("{}: must be a str that is valid Unicode, got one with a lone surrogate", label());
        let raised = exception(string.py(), "InvalidInputError", message);
        raised.set_cause(string.py(), Some(error));
        raised
    })
}

/// Returns the treatment of texts that are too long.
pub(crate) fn truncation(fails: bool) -> Truncation {
    if fails { Truncation::Error } else { Truncation::Ignore }
}

/// Returns the role of texts.
pub(crate) fn role(as_queries: bool) -> Role {
    if as_queries { Role::Query } else { Role::Document }
}

/// Device, dtype, adapters, way of tokenizing, use of memory maps, folder of packed weights and conversion of a model, and the search for another model that its folder
/// names. Without a device, the best one is used.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Loading {
    device: Option<String>,
    dtype: Option<String>,
    adapters: BTreeMap<String, String>,
    tokenizer_as_filed: bool,
    mmap: bool,
    packed_folder: Option<PathBuf>,
    convert: bool,
    cache_folder: Option<PathBuf>,
    local_files_only: bool,
    token: Option<Token>,
}

impl Loading {
    /// Makes the loading options that all kinds of models share.
    pub(crate) fn options(
        self,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
    ) -> Result<LoadOptions> {
        let device = self.device.map(|name| name.parse::<Device>()).transpose()?;
        let dtype = self.dtype.map(|name| name.parse::<Dtype>()).transpose()?.unwrap_or_default();
        let mut options = LoadOptions::default()
            .with_device(device)
            .with_dtype(dtype)
            .with_prompts(prompts)
            .with_adapters(self.adapters)
            .with_tokenizer_as_filed(self.tokenizer_as_filed)
            .with_mmap(self.mmap)
            .with_convert(self.convert)
            .with_local_files_only(self.local_files_only)
            .with_token(Token::typed(self.token));
        options.packed_folder = self.packed_folder;
        options.cache_folder = self.cache_folder;
        options.default_prompt_name = default_prompt_name;
        Ok(options)
    }
}

/// Argument `token=` of Python: a token, or True to require the environment's and False to send none.
#[derive(FromPyObject)]
pub(crate) enum Token {
    Use(bool),
    Given(String),
}

impl Token {
    pub(crate) fn typed(token: Option<Self>) -> HubToken {
        match token {
            None => HubToken::FromEnvironment,
            Some(Self::Use(true)) => HubToken::Required,
            Some(Self::Use(false)) => HubToken::None,
            Some(Self::Given(token)) => HubToken::Given(token),
        }
    }
}
