//! Image processors of transformers, as `preprocessor_config.json` describes them: resizing, cropping, normalization.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::resize::{Filter, Part, Size, resize};
use super::{Image, problem};
use crate::config::JsonFile;
use crate::error::Result;
use crate::kernels::resample::CHANNELS;
use crate::tokenize::Tokens;

/// Files of an image processor. The second has it under a key.
pub(crate) const PROCESSOR_FILES: [&str; 2] = ["preprocessor_config.json", "processor_config.json"];
const KEY: &str = "image_processor";

/// Settings of a processor's class, for absent keys.
#[derive(Clone, Copy)]
pub(crate) struct Defaults {
    /// First part of the class's names.
    class: &'static str,
    crops: bool,
    mean: [f64; CHANNELS],
    std: [f64; CHANNELS],
}

impl Defaults {
    pub(crate) const CLIP: Self = Self {
        class: "CLIP",
        crops: true,
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
    };
    pub(crate) const SIGLIP: Self = Self { class: "Siglip", crops: false, mean: [0.5; CHANNELS], std: [0.5; CHANNELS] };

    /// Returns the settings of the class that a file names.
    fn of(file: &JsonFile, default: Self) -> Result<Self> {
        let key = if file.value.get("image_processor_type").is_some() {
            "image_processor_type"
        } else {
            "feature_extractor_type"
        };
        let class = file.text(key, default.class)?;
        let known = [Self::CLIP, Self::SIGLIP].into_iter().find(|known| class.starts_with(known.class));
        known.ok_or_else(|| file.unsupported(key, class, "CLIPImageProcessor, SiglipImageProcessor"))
    }
}

/// Images that a model reads: squares cut into square patches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageShape {
    /// Width and height.
    pub(crate) side: usize,
    /// Width and height of a patch.
    pub(crate) patch: usize,
    /// True if a token that stands for the whole image precedes the patches.
    pub(crate) has_class: bool,
}

impl ImageShape {
    /// Entry of a patch in the table of an image tower's tokens.
    pub(crate) const PATCH: u32 = 0;
    /// Entry of the token that stands for the whole image.
    pub(crate) const CLASS: u32 = 1;

    /// Reads the sizes in the config of an image tower.
    pub(crate) fn read(file: &JsonFile, patch: usize, has_class: bool) -> Result<Self> {
        file.only("num_channels", CHANNELS)?;
        let shape = Self { side: file.size("image_size", 224)?, patch: file.size("patch_size", patch)?, has_class };
        if shape.side < shape.patch {
            let problem = format!("must be at most image_size, {}, got {}", shape.side, shape.patch);
            return Err(file.error("patch_size", problem));
        }
        if shape.side > super::MAX_SIDE {
            return Err(file.error("image_size", format!("must be at most {}, got {}", super::MAX_SIDE, shape.side)));
        }
        Ok(shape)
    }

    /// Number of patches in a row, which is that of rows, too.
    pub(crate) fn grid(self) -> usize {
        self.side / self.patch
    }

    /// Number of tokens of an image.
    pub(crate) fn tokens(self) -> usize {
        self.grid() * self.grid() + usize::from(self.has_class)
    }

    /// Numbers of a patch.
    pub(crate) fn patch_width(self) -> usize {
        CHANNELS * self.patch * self.patch
    }

    fn ids(self) -> Vec<u32> {
        let class = self.has_class.then_some(Self::CLASS);
        class.into_iter().chain(std::iter::repeat_n(Self::PATCH, self.grid() * self.grid())).collect()
    }
}

/// Resizing of an image.
#[derive(Clone, Copy)]
enum Resize {
    None,
    /// Gives the shorter side this length, and keeps the proportions.
    Shortest(usize),
    Exactly(Size),
}

impl Resize {
    fn of(self, from: Size) -> Size {
        match self {
            Self::None => from,
            Self::Exactly(size) => size,
            Self::Shortest(short) if from.width <= from.height => {
                Size { width: short, height: short * from.height / from.width }
            }
            Self::Shortest(short) => Size { width: short * from.width / from.height, height: short },
        }
    }
}

/// Processor that makes a model's images of any.
pub(crate) struct ImageProcessor {
    shape: ImageShape,
    resize: Resize,
    filter: Filter,
    crops: bool,
    values: Arc<[[f32; 256]; CHANNELS]>,
}

impl ImageProcessor {
    /// Reads the processor of a transformer's folder. Absent files mean the defaults.
    pub(crate) fn read(folder: &Path, shape: ImageShape, defaults: Defaults) -> Result<Self> {
        let file = Self::file(folder)?;
        let defaults = Defaults::of(&file, defaults)?;
        let crops = file.get("do_center_crop", defaults.crops)?;
        let (resize, filter) = match file.get("do_resize", true)? {
            true => (size(&file, defaults)?, filter(&file)?),
            false => (Resize::None, Filter::Nearest),
        };
        let processor = Self { shape, resize, filter, crops, values: Arc::new(values(&file, defaults)?) };
        processor.check(&file)?;
        Ok(processor)
    }

    fn file(folder: &Path) -> Result<JsonFile> {
        let [own, shared] = PROCESSOR_FILES.map(|name| folder.join(name));
        if let Some(mut file) = JsonFile::read_if_there(shared)?
            && let Some(nested) = file.value.get_mut(KEY).map(Value::take)
        {
            return Ok(JsonFile { path: file.path, value: nested });
        }
        let absent = || JsonFile { path: own.clone(), value: Value::Object(Default::default()) };
        Ok(JsonFile::read_if_there(own.clone())?.unwrap_or_else(absent))
    }

    /// Checks that the result has the size that the model reads.
    fn check(&self, file: &JsonFile) -> Result<()> {
        let side = self.shape.side;
        let wrong = |key: &str, got: String| {
            Err(file
                .error(key, format!("must give images of {side} x {side} pixels, the model's image_size, got {got}")))
        };
        if self.crops {
            match crop_size(file, side)? {
                size if size != (Size { width: side, height: side }) => {
                    return wrong("crop_size", format!("{} x {}", size.width, size.height));
                }
                _ => {}
            }
        }
        match self.resize {
            Resize::Shortest(short) if !self.crops || short < side => {
                wrong("size", format!("a shortest edge of {short}"))
            }
            Resize::Exactly(size)
                if size.width.min(size.height) < side || !self.crops && size.width.max(size.height) > side =>
            {
                wrong("size", format!("{} x {}", size.width, size.height))
            }
            _ => Ok(()),
        }
    }

    /// Width and height of the model's images.
    pub(crate) fn side(&self) -> usize {
        self.shape.side
    }

    /// Makes the model's image of any.
    pub(crate) fn prepare(&self, image: Image<'_>) -> Result<Tokens> {
        let image = image.rgb()?;
        let side = self.shape.side;
        let to = self.resize.of(image.size);
        if to.width < side || to.height < side || !self.crops && to != (Size { width: side, height: side }) {
            let got = format!("{} x {}", to.width, to.height);
            return Err(problem(format!(
                "must have {side} x {side} pixels, because this model doesn't resize, got {got}"
            )));
        }
        let (left, top) = ((to.width - side) / 2, (to.height - side) / 2);
        let part = Part { columns: left..left + side, rows: top..top + side };
        let pixels = resize(&image, to, &part, self.filter)?.data.into();
        let ids = self.shape.ids();
        let prepared = Prepared { pixels, values: Arc::clone(&self.values), shape: self.shape };
        // Nothing of an image is truncated, so it has no length.
        Ok(Tokens { image: Some(prepared), ..Tokens::new(ids, None, 0) })
    }
}

/// Reads the size that images are resized to. A number is the shorter side if the class crops.
fn size(file: &JsonFile, defaults: Defaults) -> Result<Resize> {
    let key = "size";
    let square = |side| Size { width: side, height: side };
    let Some(value) = file.value.get(key) else {
        return Ok(if defaults.crops { Resize::Shortest(224) } else { Resize::Exactly(square(224)) });
    };
    let length = |value: Option<&Value>| {
        let length = value.and_then(Value::as_u64).filter(|length| (1..=super::MAX_SIDE as u64).contains(length));
        length.map(|length| length as usize)
    };
    let entries = value.as_object().map_or(0, serde_json::Map::len);
    let [shortest, height, width] = ["shortest_edge", "height", "width"].map(|name| length(value.get(name)));
    let read = match (length(Some(value)), shortest, height, width) {
        (Some(side), ..) if defaults.crops => Some(Resize::Shortest(side)),
        (Some(side), ..) => Some(Resize::Exactly(square(side))),
        (None, Some(short), None, None) if entries == 1 => Some(Resize::Shortest(short)),
        (None, None, Some(height), Some(width)) if entries == 2 => Some(Resize::Exactly(Size { width, height })),
        _ => None,
    };
    let supported = "a number, {\"shortest_edge\": …} or {\"height\": …, \"width\": …}";
    read.ok_or_else(|| file.unsupported(key, value.to_string(), supported))
}

fn crop_size(file: &JsonFile, default: usize) -> Result<Size> {
    let key = "crop_size";
    let Some(value) = file.value.get(key) else { return Ok(Size { width: default, height: default }) };
    let length = |value: &Value| value.as_u64().map(|length| length as usize);
    let sides = match length(value) {
        Some(side) => Some([side, side]),
        None => value.get("width").and_then(length).zip(value.get("height").and_then(length)).map(Into::into),
    };
    let problem = || file.error(key, format!("must be a number or {{\"height\": …, \"width\": …}}, got {value}"));
    sides.map(|[width, height]| Size { width, height }).ok_or_else(problem)
}

fn filter(file: &JsonFile) -> Result<Filter> {
    let key = "resample";
    let number = file.get(key, 3_usize)?;
    let problem = || file.error(key, format!("must be a filter of Pillow, from 0 to 5, got {number}"));
    Filter::ALL.get(number).copied().ok_or_else(problem)
}

/// Returns the number that stands for each byte of each channel, computed as by numpy.
fn values(file: &JsonFile, defaults: Defaults) -> Result<[[f32; 256]; CHANNELS]> {
    let factor = match file.get("do_rescale", true)? {
        true => file.get("rescale_factor", 1.0 / 255.0)?,
        false => 1.0,
    };
    let (mean, std) = match file.get("do_normalize", true)? {
        true => (file.get("image_mean", defaults.mean)?, file.get("image_std", defaults.std)?),
        false => ([0.0; CHANNELS], [1.0; CHANNELS]),
    };
    if std.contains(&0.0) {
        return Err(file.error("image_std", "must have no 0, by which nothing can be divided"));
    }
    let mut values = [[0.0; 256]; CHANNELS];
    for ((values, mean), std) in values.iter_mut().zip(mean).zip(std) {
        for (byte, value) in values.iter_mut().enumerate() {
            *value = ((byte as f64 * factor) as f32 - mean as f32) / std as f32;
        }
    }
    Ok(values)
}

/// Image as a model reads it. Copies share the pixels.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// `(side, side, 3)`
    pixels: Arc<[u8]>,
    values: Arc<[[f32; 256]; CHANNELS]>,
    shape: ImageShape,
}

impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        self.pixels == other.pixels
    }
}

impl Eq for Prepared {}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Appends the normalized patches, row by row, each channel by channel.
    pub(crate) fn patches(&self, out: &mut Vec<f32>) {
        let ImageShape { side, patch, .. } = self.shape;
        let grid = self.shape.grid();
        for (top, left) in (0..grid).flat_map(|y| (0..grid).map(move |x| (y * patch, x * patch))) {
            for (channel, values) in self.values.iter().enumerate() {
                for y in top..top + patch {
                    let row = &self.pixels[(y * side + left) * CHANNELS..][..patch * CHANNELS];
                    out.extend(row.iter().skip(channel).step_by(CHANNELS).map(|byte| values[usize::from(*byte)]));
                }
            }
        }
    }
}
