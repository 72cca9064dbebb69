//! Files of images with changed bytes, and pixels, in models that embed images beside texts.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use rushlight::{Image, Input, Pixels};

use super::super::folder::below;
use super::super::oracle::{both, check_rows};

const CASES: [&str; 2] = ["tiny/clip-transformer", "tiny/siglip"];

#[derive(Arbitrary, Debug)]
enum Picture {
    /// A file as it is.
    Raw(Vec<u8>),
    Changed {
        file: u8,
        /// Places with the bytes that they get.
        bytes: Vec<(u16, u8)>,
        /// Place that loses these bytes and gets others.
        splice: Option<(u16, u8, Vec<u8>)>,
        /// Bytes that the end lacks.
        cut: Option<u16>,
    },
    Pixels {
        width: u8,
        height: u8,
        channels: u8,
        seed: u8,
    },
}

pub fn check(data: &[u8]) {
    let Ok((case, picture)) = <(u8, Picture)>::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let models = both(CASES[usize::from(case) % CASES.len()]);
    let [native, portable] = &*models;
    let bytes = picture.bytes();
    let image = match picture {
        Picture::Pixels { width, height, channels, .. } => {
            match Pixels::new(&bytes, width.into(), height.into(), channels.into()) {
                Ok(pixels) => Image::Pixels(pixels),
                Err(_) => return,
            }
        }
        _ => Image::Bytes(&bytes),
    };
    check_rows(native, portable, &[Input::Text("of the rest"), Input::Image(image)]);
}

impl Picture {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Changed { file, bytes, splice, cut } => {
                let mut changed = files()[usize::from(*file) % files().len()].clone();
                let length = changed.len();
                let at = |place: &u16| usize::from(*place) % length;
                bytes.iter().for_each(|(place, byte)| changed[at(place)] = *byte);
                if let Some((place, lost, others)) = splice {
                    let start = at(place);
                    drop(changed.splice(start..length.min(start + usize::from(*lost)), others.iter().copied()));
                }
                changed.truncate(changed.len().saturating_sub(cut.unwrap_or(0).into()));
                changed
            }
            Self::Pixels { width, height, channels, seed } => {
                let count = usize::from(*width) * usize::from(*height) * usize::from(*channels);
                (0..count).map(|i| seed.wrapping_mul((i / 3) as u8)).collect()
            }
        }
    }
}

/// Returns files of all formats.
fn files() -> &'static [Vec<u8>] {
    static FILES: LazyLock<Vec<Vec<u8>>> =
        LazyLock::new(|| below("tiny/clip-transformer/images/").into_values().filter(|file| file.len() < 65_536).collect());
    &FILES
}
