//! Decoding of files: PNG, JPEG, WebP, GIF (its first frame) and BMP.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, imageops};

use super::resize::Size;
use super::{MAX_PIXELS, Rgb, check_size, colors, problem};
use crate::alloc;
use crate::catch_panic::catch_panic_of;
use crate::error::{Error, Result};

/// Decodes a file's content, and turns the image upright by its EXIF orientation.
pub(super) fn decode(bytes: &[u8]) -> Result<Rgb> {
    catch_panic_of("the decoder", || Ok(decode_or_fail(bytes))).unwrap_or_else(|panic| Err(problem(panic)))
}

fn decode_or_fail(bytes: &[u8]) -> Result<Rgb> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(undecodable)?;
    let Some(format) = reader.format() else {
        return Err(problem("must be a PNG, JPEG, WebP, GIF or BMP file, whose first bytes tell its format"));
    };
    if format == ImageFormat::Jpeg && !is_complete_jpeg(bytes) {
        return Err(problem("is truncated: the end of the JPEG is missing"));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(8 * MAX_PIXELS as u64);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    let size = Size { width: width as usize, height: height as usize };
    check_size(size)?;
    // Decoders allocate about as much again, and abort without the memory.
    let total = decoder.total_bytes() as usize;
    alloc::check::<u8>(3 * total, "an image")?;
    let orientation = decoder.orientation().map_err(undecodable)?;
    let color = decoder.color_type();
    let mut data = vec![0; total];
    decoder.read_image(&mut data).map_err(undecodable)?;
    let rgb = match color {
        ColorType::L8 => colors::to_rgb(&data, 1, size)?,
        ColorType::La8 => colors::to_rgb(&data, 2, size)?,
        ColorType::Rgb8 => Rgb { size, data },
        ColorType::Rgba8 => colors::to_rgb(&data, 4, size)?,
        ColorType::L16 => colors::to_rgb(&cut_to_bytes(&data), 1, size)?,
        ColorType::La16 => colors::to_rgb(&high_bytes(&data), 2, size)?,
        ColorType::Rgb16 => colors::to_rgb(&high_bytes(&data), 3, size)?,
        ColorType::Rgba16 => colors::to_rgb(&high_bytes(&data), 4, size)?,
        other => return Err(problem(format!("has the color type {other:?}, which is not supported"))),
    };
    upright(rgb, orientation)
}

/// Returns true for a JPEG with an end after its last scan began. Decoders would fill the missing rest with grey.
fn is_complete_jpeg(bytes: &[u8]) -> bool {
    let last = |marker| bytes.windows(2).rposition(|pair| pair == [0xFF, marker]);
    last(0xD9) > last(0xDA)
}

/// Returns 16-bit numbers, with 255 for all above, as Pillow converts grey.
fn cut_to_bytes(data: &[u8]) -> Vec<u8> {
    data.as_chunks().0.iter().map(|number| u16::from_ne_bytes(*number).min(255) as u8).collect()
}

/// Returns the upper halves of 16-bit numbers, as Pillow reads colors.
fn high_bytes(data: &[u8]) -> Vec<u8> {
    data.as_chunks().0.iter().map(|number| (u16::from_ne_bytes(*number) >> 8) as u8).collect()
}

fn upright(image: Rgb, orientation: Orientation) -> Result<Rgb> {
    if orientation == Orientation::NoTransforms {
        return Ok(image);
    }
    let (width, height) = (image.size.width as u32, image.size.height as u32);
    let Some(image) = RgbImage::from_raw(width, height, image.data) else { return Err(problem("can't be decoded")) };
    let turned = match orientation {
        Orientation::NoTransforms => image,
        Orientation::Rotate90 => imageops::rotate90(&image),
        Orientation::Rotate180 => imageops::rotate180(&image),
        Orientation::Rotate270 => imageops::rotate270(&image),
        Orientation::FlipHorizontal => imageops::flip_horizontal(&image),
        Orientation::FlipVertical => imageops::flip_vertical(&image),
        Orientation::Rotate90FlipH => imageops::flip_horizontal(&imageops::rotate90(&image)),
        Orientation::Rotate270FlipH => imageops::flip_horizontal(&imageops::rotate270(&image)),
    };
    let size = Size { width: turned.width() as usize, height: turned.height() as usize };
    Ok(Rgb { size, data: turned.into_raw() })
}

fn undecodable(error: impl std::fmt::Display) -> Error {
    problem(format!("can't be decoded: {error}"))
}
