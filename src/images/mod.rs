//! Images: what callers give, and the pixels that a model reads.

mod colors;
#[cfg(feature = "images")]
mod decode;
mod drawn;
mod processor;
mod resize;

use std::hash::{Hash, Hasher};
use std::path::Path;

pub(crate) use drawn::drawn;
pub(crate) use processor::{Defaults, ImageProcessor, ImageShape, PROCESSOR_FILES, Prepared};

use crate::alloc;
use crate::config::plain_file_size;
use crate::error::{Error, Result};
use crate::kernels::resample::CHANNELS;
use resize::Size;

/// Greatest number of pixels of an image: Pillow's limit, too.
const MAX_PIXELS: usize = 178_956_970;
/// Greatest width and height: that of most formats.
const MAX_SIDE: usize = 65_535;

/// An image: a file, the content of a file, or pixels.
///
/// Files are PNG, JPEG, WebP, GIF (its first frame) or BMP, and need the feature `images`. Their EXIF orientation is
/// applied. Transparent pixels lie over white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image<'a> {
    /// Path of a file.
    File(&'a Path),
    /// Content of a file.
    Bytes(&'a [u8]),
    /// Pixels.
    Pixels(Pixels<'a>),
}

impl Hash for Image<'_> {
    /// Hashes the size and some of the bytes: all of them would take long.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::File(path) => path.hash(state),
            Self::Bytes(bytes) => hash_some(bytes, state),
            Self::Pixels(pixels) => {
                pixels.size().hash(state);
                hash_some(pixels.data, state);
            }
        }
    }
}

fn hash_some<H: Hasher>(bytes: &[u8], state: &mut H) {
    const SOME: usize = 256;
    bytes.len().hash(state);
    bytes.iter().step_by(bytes.len() / SOME + 1).for_each(|byte| byte.hash(state));
}

impl Image<'_> {
    /// Number of bytes that the caller holds.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::File(path) => path.as_os_str().len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Pixels(pixels) => pixels.data.len(),
        }
    }

    /// Decodes the image. An error of the image itself is an [`Error::InvalidInput`], with the file's name.
    fn rgb(self) -> Result<Rgb> {
        match self {
            Self::File(path) => file(path).map_err(|error| match error {
                Error::InvalidInput { problem: text, .. } => problem(format!("{}: {text}", path.display())),
                other => other,
            }),
            Self::Bytes(bytes) => decode(bytes),
            Self::Pixels(pixels) => colors::to_rgb(pixels.data, pixels.channels, pixels.size),
        }
    }
}

fn file(path: &Path) -> Result<Rgb> {
    /// Larger than any image within the limits of pixels.
    const MAX_BYTES: u64 = 1 << 30;
    let size = plain_file_size(path).map_err(|error| match error {
        Error::Io { cause, .. } => problem(cause.to_string()),
        other => other,
    })?;
    if size > MAX_BYTES {
        return Err(problem(format!("must have at most {MAX_BYTES} bytes, got {size}")));
    }
    alloc::check::<u8>(size as usize, "an image's file")?;
    decode(&std::fs::read(path).map_err(|error| problem(error.to_string()))?)
}

#[cfg(feature = "images")]
fn decode(bytes: &[u8]) -> Result<Rgb> {
    decode::decode(bytes)
}

#[cfg(not(feature = "images"))]
fn decode(_: &[u8]) -> Result<Rgb> {
    Err(problem("must be pixels: this build decodes no files, because it lacks the feature `images`"))
}

/// Pixels of an image in rows, from the top left, 8 bits a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels<'a> {
    data: &'a [u8],
    size: Size,
    channels: usize,
}

impl<'a> Pixels<'a> {
    /// Describes pixels of 1 to 4 channels: grey, grey and alpha, RGB, RGBA.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `data` doesn't have `width * height * channels` bytes, or a size is out of range.
    pub fn new(data: &'a [u8], width: usize, height: usize, channels: usize) -> Result<Self> {
        if !(1..=4).contains(&channels) {
            return Err(Error::argument("channels", format!("must be from 1 to 4, got {channels}")));
        }
        let size = Size { width, height };
        check_size(size).map_err(|error| match error {
            Error::InvalidInput { problem, .. } => Error::argument("pixels", problem),
            other => other,
        })?;
        if data.len() != width * height * channels {
            let problem = format!("must have {width} * {height} * {channels} bytes, got {}", data.len());
            return Err(Error::argument("pixels", problem));
        }
        Ok(Self { data, size, channels })
    }

    fn size(&self) -> [usize; 3] {
        [self.size.width, self.size.height, self.channels]
    }
}

/// Makes an error about an image. The reader of inputs adds its index.
fn problem(text: impl Into<String>) -> Error {
    Error::InvalidInput { index: 0, problem: text.into() }
}

/// Refuses images that would take too much memory.
fn check_size(Size { width, height }: Size) -> Result<()> {
    let sides = 1..=MAX_SIDE;
    if sides.contains(&width) && sides.contains(&height) && width * height <= MAX_PIXELS {
        return Ok(());
    }
    let most = format!("must have sides of 1 to {MAX_SIDE} pixels, and at most {MAX_PIXELS} pixels");
    Err(problem(format!("{most}, got {width} x {height}")))
}

/// Decoded image: RGB, 8 bits a channel.
pub(crate) struct Rgb {
    size: Size,
    data: Vec<u8>,
}

impl Rgb {
    fn alloc(size: Size) -> Result<Self> {
        let bytes = size.width.saturating_mul(size.height).saturating_mul(CHANNELS);
        Ok(Self { size, data: alloc::filled(0, bytes, "an image")? })
    }
}
