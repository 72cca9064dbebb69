"""Images as inputs of `Model`, `rushlight.compat` and the command line: types, pixels of Pillow, errors, streams."""

from __future__ import annotations

import base64
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import tiny

from rushlight import Model
from rushlight.compat import SentenceTransformer
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

CASES = ["clip-transformer", "clip-legacy-module", "siglip", "siglip-max-length-padding"]
SIDE = 32
IMAGES = tiny("clip-transformer").folder / "images"


@pytest.fixture(scope="module")
def clip() -> Model:
    return Model(tiny("clip-transformer").model)


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def drawn(width: int, height: int, seed: int = 7) -> Image.Image:
    numbers = np.random.default_rng(seed)
    pixels = numbers.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", CASES)
def test_images_of_pil_have_the_pixels_of_pillow(name: str) -> None:
    case = tiny(name)
    model = Model(case.model)
    names = json.loads((case.folder / "meta.json").read_text())["images"]
    pixels = np.frombuffer((case.folder / "pixels.bin").read_bytes(), np.uint8).reshape(-1, SIDE, SIDE, 3)
    images = [opened(case.folder / "images" / file) for file in names]
    assert np.array_equal(model.encode(images), model.encode(list(pixels)))


def test_one_image_and_a_list(clip: Model) -> None:
    path = IMAGES / "odd.png"
    image = opened(path)
    array = np.asarray(image.convert("RGB"))
    row = clip.encode(path)
    assert row.shape == (clip.embedding_dimension,)
    for one in (path.read_bytes(), image, array, {"image": path}, {"image": str(path)}, {"image": image}):
        assert np.array_equal(clip.encode(one), row)
    some = [path, array.transpose(2, 0, 1).copy(), array[:, ::-1][:, ::-1], bytearray(path.read_bytes())]
    assert np.array_equal(clip.encode(some), np.stack([row] * 4))
    assert np.array_equal(clip.encode({"text": "a lamp"}), clip.encode("a lamp"))
    mixed = clip.encode(["a lamp", path, {"text": "a lamp"}, image])
    assert np.array_equal(mixed, np.stack([clip.encode("a lamp"), row] * 2))
    assert clip.modalities == ["text", "image"]


def test_a_str_is_a_text(clip: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    shutil.copyfile(IMAGES / "rgb.png", path)
    assert not np.array_equal(clip.encode(str(path)), clip.encode(path))


@pytest.mark.parametrize("name", ["exif4.png"])
def test_exif_turns_files(clip: Model, name: str) -> None:
    turned = ImageOps.exif_transpose(opened(IMAGES / name))
    assert np.array_equal(clip.encode(IMAGES / name), clip.encode(turned))
    assert not np.array_equal(clip.encode(IMAGES / name), clip.encode(opened(IMAGES / name)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_are_those_of_pillow(clip: Model, orientation: int) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn(40, 32).save(file, "png", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(file))
    assert np.array_equal(clip.encode(file.getvalue()), clip.encode(turned))


def resized(image: Image.Image, size: tuple[int, int], filter_: int) -> Image.Image:
    """Resize horizontally first, as Pillow did up to version 12."""
    return image.resize((size[0], image.height), filter_).resize(size, filter_)


@pytest.mark.parametrize("number", range(6))
def test_resizing_is_that_of_pillow(number: int, tmp_path: Path) -> None:
    """A model's own size passes unchanged, so equal bits mean equal pixels."""
    folder = tmp_path / "model"
    shutil.copytree(tiny("clip-transformer").model, folder)
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["image_processor"]["resample"] = number
    file.write_text(json.dumps(settings))
    model = Model(folder)
    numbers = random.Random(number)
    images, expected = [], []
    for seed in range(40):
        width, height = numbers.randint(1, 180), numbers.randint(1, 180)
        image = drawn(width, height, seed)
        short = min(width, height)
        size = (SIDE * width // short, SIDE * height // short)
        left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
        images.append(image)
        expected.append(resized(image, size, number).crop((left, top, left + SIDE, top + SIDE)))
    assert np.array_equal(model.encode(images), model.encode(expected))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_modes(clip: Model, mode: str) -> None:
    image = drawn(40, 32).convert("RGBA")
    image.putalpha(Image.fromarray(np.arange(40 * 32, dtype=np.int64).reshape(32, 40).astype(np.uint8)))
    image = image.convert("L").convert(mode) if mode in {"I", "F"} else image.convert("RGB").convert(mode)
    if "A" in image.getbands():
        white = Image.new("RGBA", image.size, (255, 255, 255))
        wanted = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    else:
        wanted = image.convert("RGB")
    assert np.array_equal(clip.encode(image), clip.encode(wanted))


def test_errors_name_the_input(clip: Model, tmp_path: Path) -> None:
    bad = tmp_path / "cut.png"
    bad.write_bytes((IMAGES / "rgb.png").read_bytes()[:900])
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]: .*cut\.png: "):
        clip.encode([IMAGES / "rgb.png", bad])
    with pytest.raises(InvalidArgumentError, match=r"inputs\[0\]: .*absent\.png: "):
        clip.encode([tmp_path / "absent.png"])
    for one, message in [
        (np.zeros((4, 4, 3)), "uint8"),
        (np.zeros((4, 4), np.uint8), "channels"),
        (np.zeros((5, 4, 7), np.uint8), "channels"),
        ({"image": 3}, "under 'image'"),
        ({"image": "a.png", "text": "a"}, "one modality"),
        ({"audio": "a.wav"}, "modality 'audio'|modality \"audio\""),
        ({"role": "user", "content": [{"type": "image", "image": "a.png"}]}, "an image, got"),
        (3, "an image, got builtins.int|an image, got int"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            clip.encode(["a text", one])
    with pytest.raises(InvalidArgumentError, match="is an image"):
        clip.encode([IMAGES / "rgb.png"], output_value="token_embeddings")


def test_models_of_texts_refuse_images() -> None:
    model = Model(tiny("bert-mean-normalize").model)
    assert model.modalities == ["text"]
    for one in (IMAGES / "rgb.png", b"bytes", {"image": "a.png"}, drawn(4, 4)):
        with pytest.raises(InvalidInputError):
            model.encode([one])
        with pytest.raises(InvalidInputError):
            model.encode(one)


def test_streams_have_the_same_bits(clip: Model) -> None:
    paths = sorted(IMAGES.iterdir())
    rows = np.concatenate(list(clip.encode_iter((path for path in paths), chunk_size=5)))
    assert np.array_equal(rows, clip.encode(paths))
    out = np.empty_like(rows)
    assert clip.encode(paths, out=out) is out
    assert np.array_equal(out, rows)
    assert np.array_equal(clip.encode(paths, precision="ubinary"), np.packbits(rows > 0, axis=-1))


def test_compat_takes_what_sentence_transformers_takes(tmp_path: Path) -> None:
    model = SentenceTransformer(str(tiny("clip-transformer").model))
    path = IMAGES / "rgb.png"
    row = model.encode(opened(path))
    uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    assert np.array_equal(model.encode([str(path), uri, {"image": str(path)}]), np.stack([row] * 3))
    assert np.array_equal(model.encode(str(path)), row)
    absent = str(tmp_path / "absent.png")
    assert not np.array_equal(model.encode(absent), row)
    assert model.modalities == ["text", "image"]
    assert model.supports("image")
    with pytest.raises(InvalidInputError, match="downloads no images"):
        model.encode(["https://example.org/a.png"])


def test_a_folder_on_the_command_line(command, clip: Model, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("rgb.png", "q90.jpg", "more/grey.png"):
        shutil.copyfile(IMAGES / Path(name).name, folder / name)
    (folder / "notes.txt").write_text("no image")
    names = ["more/grey.png", "q90.jpg", "rgb.png"]
    rows = clip.encode([folder / name for name in names])
    place = tiny("clip-transformer").model
    done = command("encode", place, "--images", folder)
    read = [json.loads(line) for line in done.out.splitlines()]
    assert [row["image"] for row in read] == names
    assert np.array_equal(np.array([row["embedding"] for row in read], np.float32), rows)
    out = tmp_path / "rows.npy"
    command("encode", place, "--images", folder, "-o", out)
    assert np.array_equal(np.load(out), rows)
    done = command("search", place, folder, "a lamp", "--top-k", 2)
    assert all(line.split("\t")[-1] in names for line in done.out.splitlines()[1:])
    assert len(done.out.splitlines()) == 3
    (folder / "cut.png").write_bytes((IMAGES / "rgb.png").read_bytes()[:900])
    done = command("encode", place, "--images", folder)
    assert done.status != 0
    assert "cut.png" in done.err
    done = command("encode", tiny("bert-mean-normalize").model, "--images", folder)
    assert "embeds texts alone" in done.err
