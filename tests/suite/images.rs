//! Tests of models that embed texts and images, against the pixels of Pillow and the embeddings of sentence-transformers.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rushlight::{Dtype, EncodeOptions, Error, Image, Input, LoadOptions, Model, Pixels, process};

use super::precision::cosines;
use crate::common::{Case, copy, largest_difference, named, native, npy, tiny, tiny_cases, ways};

/// Width and height of the images of the small models.
const SIDE: usize = 32;

/// Case with images: their files, which are named by what they are.
struct Images {
    case: Case,
    names: Vec<String>,
}

impl Images {
    fn cases() -> Vec<Self> {
        let with_images = |case: Case| {
            let names: Vec<String> = serde_json::from_value(case.meta["images"].clone()).ok()?;
            Some(Self { case, names })
        };
        tiny_cases().into_iter().filter_map(with_images).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.names.iter().map(|name| self.case.folder.join("images").join(name)).collect()
    }

    /// Pixels of each image after resizing and cropping by Pillow, as an image of PIL.
    fn pixels(&self) -> Vec<Vec<u8>> {
        let all = fs::read(self.case.folder.join("pixels.bin")).unwrap();
        let each: Vec<_> = all.chunks_exact(SIDE * SIDE * 3).map(<[u8]>::to_vec).collect();
        assert_eq!(each.len(), self.names.len());
        each
    }

    fn load(&self, way: &LoadOptions) -> Model {
        Model::from_dir_with(&self.case.model, way).unwrap_or_else(|error| panic!("{}: {error}", self.case.name))
    }
}

fn files(paths: &[PathBuf]) -> Vec<Input<'_>> {
    paths.iter().map(|path| Input::Image(Image::File(path))).collect()
}

fn pixels(bytes: &[u8]) -> Input<'_> {
    Input::Image(Image::Pixels(Pixels::new(bytes, SIDE, SIDE, 3).unwrap()))
}

fn encode(model: &Model, inputs: &[Input<'_>]) -> Vec<f32> {
    model.encode_inputs(inputs, &EncodeOptions::default()).unwrap().into_vec()
}

#[test]
fn embeddings_of_pixels_are_those_of_sentence_transformers() {
    let cases = Images::cases();
    assert_eq!(cases.len(), 4);
    for images in &cases {
        let expected = npy(&images.case.folder.join("expected_images.npy"));
        let largest = expected.iter().fold(0.0, |largest: f64, x| x.abs().max(largest));
        let all = images.pixels();
        for way in ways() {
            let inputs: Vec<_> = all.iter().map(|bytes| pixels(bytes)).collect();
            let error = largest_difference(&encode(&images.load(&way), &inputs), &expected);
            println!("{} by {}: {error:.1e}", images.case.name, named(&way));
            assert!(error <= 1e-5 * largest, "{} by {}: {error:e}", images.case.name, named(&way));
        }
    }
}

/// The bounds are those of texts.
#[test]
fn lower_precision_is_within_its_bound() {
    for (dtype, mean, worst) in [(Dtype::BFloat16, 0.9999, 0.9995), (Dtype::Int8, 0.998, 0.98)] {
        for images in &Images::cases() {
            let expected = npy(&images.case.folder.join("expected_images.npy"));
            let all = images.pixels();
            let inputs: Vec<_> = all.iter().map(|bytes| pixels(bytes)).collect();
            let got = encode(&images.load(&native().with_dtype(dtype)), &inputs);
            let (mean_cosine, least) = cosines(&got, &expected, expected.len() / all.len());
            let largest = largest_difference(&got, &expected);
            println!("{} in {dtype}: mean {mean_cosine:.6} worst {least:.6}, at most {largest:.4}", images.case.name);
            assert!(mean_cosine >= mean && least >= worst, "{} in {dtype}: {mean_cosine} {least}", images.case.name);
        }
    }
}

/// Images that sentence-transformers reads otherwise as a file than as an image of PIL: EXIF turns a file alone.
const TURNED: [&str; 2] = ["exif4.png", "exif6.jpg"];

#[test]
fn files_are_turned_by_exif() {
    for images in Images::cases() {
        let model = images.load(&native());
        let width = model.embedding_dimension();
        let expected = npy(&images.case.folder.join("expected_image_paths.npy"));
        let of_files = encode(&model, &files(&images.files()));
        for name in TURNED {
            let at = images.names.iter().position(|other| other == name).unwrap() * width;
            let difference = largest_difference(&of_files[at..at + width], &expected[at..at + width]);
            // torchvision resizes otherwise than Pillow, by 1 in some pixels; decoders of JPEG differ by 2.
            let most = if name.ends_with("jpg") { 0.02 } else { 3e-3 };
            assert!(difference < most, "{} {name}: {difference:e}", images.case.name);
        }
    }
}

/// Decoders of JPEG may differ by 2 in a pixel.
#[test]
fn files_have_the_pixels_of_pillow() {
    for images in Images::cases() {
        let model = images.load(&native());
        let width = model.embedding_dimension();
        let of_files = encode(&model, &files(&images.files()));
        let all = images.pixels();
        let of_pixels = encode(&model, &all.iter().map(|bytes| pixels(bytes)).collect::<Vec<_>>());
        let rows = of_files.chunks(width).zip(of_pixels.chunks(width)).zip(&images.names);
        for ((file, pixels), name) in rows.filter(|(_, name)| !TURNED.contains(&name.as_str())) {
            let difference = file.iter().zip(pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let most = if name.ends_with("jpg") { 0.03 } else { 0.0 };
            assert!(difference <= most, "{} {name}: {difference:e}", images.case.name);
        }
    }
}

/// An image has the same bits alone, among texts and other images, twice, reversed, and with other numbers of threads.
#[test]
fn an_image_has_the_same_bits_in_any_batch() {
    let before = process::num_threads().unwrap();
    for images in Images::cases() {
        let (model, paths) = (images.load(&native()), images.files());
        let width = model.embedding_dimension();
        let all = encode(&model, &files(&paths));
        let texts = encode(&model, &images.case.texts.iter().map(|text| Input::Text(text)).collect::<Vec<_>>());
        let mut mixed = Vec::new();
        for (path, text) in paths.iter().zip(&images.case.texts) {
            mixed.extend([Input::Image(Image::File(path)), Input::Text(text), Input::Image(Image::File(path))]);
        }
        for threads in [1, 2, 4] {
            process::set_num_threads(threads).unwrap();
            let got = encode(&model, &mixed);
            for (i, rows) in got.chunks(3 * width).enumerate() {
                let (image, text) = (&all[i * width..][..width], &texts[i * width..][..width]);
                assert!(rows == [image, text, image].concat(), "{}: {i} with {threads} threads", images.case.name);
            }
            mixed.reverse();
            let backwards = encode(&model, &mixed);
            assert!(backwards.chunks(width).rev().eq(got.chunks(width)), "{}: reversed", images.case.name);
            mixed.reverse();
        }
        process::set_num_threads(before).unwrap();
        for (path, row) in paths.iter().zip(all.chunks(width)) {
            assert!(encode(&model, &[Input::Image(Image::File(path))]) == row, "{} alone", path.display());
            let bytes = fs::read(path).unwrap();
            assert!(encode(&model, &[Input::Image(Image::Bytes(&bytes))]) == row, "{} as bytes", path.display());
        }
    }
}

#[test]
fn a_stream_has_the_same_bits() {
    for images in Images::cases() {
        let (model, paths) = (images.load(&native()), images.files());
        let inputs = files(&paths);
        let (mut ahead, mut rows) = (Default::default(), Vec::new());
        for chunk in inputs.chunks(5).chain([&[][..]]) {
            rows.extend(model.encode_ahead(&mut ahead, chunk, &EncodeOptions::default()).unwrap().into_vec());
        }
        assert!(rows == encode(&model, &inputs), "{}", images.case.name);
    }
}

#[test]
fn a_saved_model_embeds_images_alike() {
    for images in Images::cases() {
        let (model, paths) = (images.load(&native()), images.files());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saved");
        model.save(&path).unwrap();
        let saved = Model::from_dir_with(&path, &native()).unwrap();
        assert!(encode(&saved, &files(&paths)) == encode(&model, &files(&paths)), "{}", images.case.name);
        let texts = |model: &Model| model.encode(&images.case.texts, &EncodeOptions::default()).unwrap().into_vec();
        assert!(texts(&saved) == texts(&model), "{}", images.case.name);
        assert_eq!(saved.max_seq_length(), model.max_seq_length());
    }
}

/// A folder of transformers alone has the same settings by its architecture.
#[test]
fn a_folder_without_modules_loads() {
    for (name, inner) in [("clip-transformer", ""), ("clip-legacy-module", "0_CLIPModel"), ("siglip", "")] {
        let case = tiny(name);
        let folder = tempfile::tempdir().unwrap();
        copy(&case.model.join(inner), folder.path());
        for file in ["modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"] {
            let _ = fs::remove_file(folder.path().join(file));
        }
        let [plain, whole] = [folder.path(), &case.model].map(|path| Model::from_dir_with(path, &native()).unwrap());
        assert!(plain.embeds_images() && !plain.lists_modules());
        let path = case.folder.join("images/rgb.png");
        let inputs = [Input::Image(Image::File(&path)), Input::Text("a text")];
        assert!(encode(&plain, &inputs) == encode(&whole, &inputs), "{name}");
    }
}

/// Returns the message of the error about one image after a good one.
fn problem(model: &Model, image: Image<'_>, good: &Path) -> String {
    let inputs = [Input::Image(Image::File(good)), Input::Image(image)];
    match model.encode_inputs(&inputs, &EncodeOptions::default()) {
        Err(Error::InvalidInput { index: 1, problem }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_images_are_errors_that_name_the_file() {
    let case = tiny("clip-transformer");
    let model = Model::from_dir_with(&case.model, &native()).unwrap();
    let good = case.folder.join("images/rgb.png");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.any");
    let said = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let message = problem(&model, Image::File(&path), &good);
        assert!(message.contains("photo.any: "), "{message}");
        assert_eq!(format!("{}: {}", path.display(), problem(&model, Image::Bytes(bytes), &good)), message);
        message
    };
    for name in ["rgb.png", "q90.jpg", "lossless.webp", "frame.gif", "rgb.bmp"] {
        let bytes = fs::read(case.folder.join("images").join(name)).unwrap();
        for length in [20, bytes.len() / 2, bytes.len() - bytes.len() / 8] {
            said(&bytes[..length]);
        }
    }
    assert!(said(b"no image").contains("must be a PNG, JPEG, WebP, GIF or BMP file"));
    assert!(said(b"").contains("must be a PNG"));
    // Headers of a PNG and of a BMP that claim more than they have.
    let png = |width: u32, height: u32| {
        let mut bytes = fs::read(&good).unwrap();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let check = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&check.to_be_bytes());
        bytes
    };
    for (width, height) in [(100_000, 1), (1, 100_000), (60_000, 60_000)] {
        assert!(said(&png(width, height)).contains(&format!("got {width} x {height}")));
    }
    assert!(problem(&model, Image::File(Path::new("no/such.png")), &good).starts_with("no/such.png: "));
    assert!(problem(&model, Image::File(folder.path()), &good).contains(&folder.path().display().to_string()));
}

/// Returns the check sum of a PNG's chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[test]
fn models_of_texts_refuse_images() {
    let model = Model::from_dir_with(&tiny("bert-mean-normalize").model, &native()).unwrap();
    let image = tiny("clip-transformer").folder.join("images/rgb.png");
    let inputs = [Input::Text("a text"), Input::Image(Image::File(&image))];
    let error = model.encode_inputs(&inputs, &EncodeOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::InvalidInput { index: 1, problem } if problem.contains("texts")), "{error}");
    assert!(!model.embeds_images());
    let clip = Model::from_dir_with(&tiny("clip-transformer").model, &native()).unwrap();
    for error in [
        clip.tokenize(&inputs).map(|_| ()).unwrap_err(),
        clip.count_tokens(&inputs).map(|_| ()).unwrap_err(),
        clip.encode_tokens(&inputs, &EncodeOptions::default()).map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::InvalidInput { index: 1, .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Changed bytes are an error of the input, or another image; nothing panics.
    #[test]
    fn decoding_survives_changed_bytes(
        which in 0usize..24, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        kept in 0.0..1.2_f64,
    ) {
        let case = tiny("clip-transformer");
        let model = Model::from_dir_with(&case.model, &native()).unwrap();
        let names: Vec<String> = serde_json::from_value(case.meta["images"].clone()).unwrap();
        let mut bytes = fs::read(case.folder.join("images").join(&names[which])).unwrap();
        bytes.truncate((bytes.len() as f64 * kept) as usize + 1);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let result = model.encode_inputs(&[Input::Image(Image::Bytes(&bytes))], &EncodeOptions::default());
        match result {
            Ok(embeddings) => prop_assert_eq!(embeddings.len(), 1),
            Err(error) => prop_assert!(matches!(error, Error::InvalidInput { index: 0, .. }), "{}", error),
        }
    }
}
