"""Images as inputs: files, the content of files, images of PIL, and arrays."""

from __future__ import annotations

import base64
import binascii
import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from rushlight.exceptions import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PilImage(Protocol):
    """Image of PIL, which rushlight itself does not need."""

    mode: str
    info: Any

    def convert(self, mode: str) -> Any:
        """Return the image in another mode."""
        ...


# A file, the content of a file, an image of PIL, an array `(h, w, 3)` of uint8, or one of them as `{"image": ...}`.
Image: TypeAlias = "os.PathLike[str] | bytes | NDArray[Any] | Mapping[str, Any] | PilImage"
# Content, width, height and channels of an array.
_Pixels: TypeAlias = tuple[bytes, int, int, int]

_MODALITIES = ("text", "image", "audio", "video")
_CHANNELS = (1, 3, 4)
# Images that an array of them holds at a time.
CHUNK = 128
# Endings of names that sentence-transformers takes for those of images.
_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tiff", ".webp")


def is_single(inputs: Any) -> bool:
    """Return True for one image, where a batch of inputs may stand, too."""
    if isinstance(inputs, (bytes, bytearray, memoryview, Mapping)) or _is_path(inputs) or _is_pil(inputs):
        return True
    return len(getattr(inputs, "shape", ())) == 3


def are_among(inputs: list[Any]) -> bool:
    """Return True if one of the inputs may be an image."""
    return any(not isinstance(one, (str, tuple, list)) for one in inputs)


def source(label: str, value: Any) -> str | Path | bytes | _Pixels | None:
    """Return the image in a value as the extension module takes it, or the text in a dict; None for other types.

    Raises
    ------
    InvalidInputError
        The value is an image that can't be read; the message begins with `label`.
    """
    if isinstance(value, Mapping):
        return _of_mapping(label, value)
    if _is_path(value):
        return Path(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if _is_pil(value):
        return _of_pil(label, value)
    return _of_array(label, value) if hasattr(value, "shape") else None


def as_sentence_transformers(inputs: Any) -> Any:
    """Return inputs with an image in place of each str that sentence-transformers takes for one.

    These are data URIs, and names of existing files with the ending of an image.

    Raises
    ------
    InvalidInputError
        A str is a URL of an image, or a data URI without content.
    """
    if isinstance(inputs, str):
        return _named("inputs", inputs)
    if isinstance(inputs, (list, tuple)):
        return [_named(f"inputs[{i}]", one) if isinstance(one, str) else one for i, one in enumerate(inputs)]
    return inputs


def _named(label: str, text: str) -> str | Path | bytes:
    """Return the image that a text names, or the text."""
    if text.startswith("data:image/"):
        try:
            return base64.b64decode(text.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise InvalidInputError(f"{label}: must be a data URI in base64: {error}") from error
    if text.startswith(("http://", "https://")) and " " not in text:
        if urllib.parse.urlparse(text).path.lower().endswith(_ENDINGS):
            raise InvalidInputError(f"{label}: rushlight downloads no images; pass the content of {text} as bytes")
        return text
    # A name with a line break or a null byte is a text.
    is_file = text.lower().endswith(_ENDINGS) and text.isprintable() and Path(text).is_file()
    return Path(text) if is_file else text


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike) and not isinstance(value, (str, bytes))


def _is_pil(value: Any) -> bool:
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def _of_mapping(label: str, value: Mapping[Any, Any]) -> str | Path | bytes | _Pixels | None:
    named = [name for name in _MODALITIES if name in value]
    if len(named) > 1:
        raise InvalidInputError(f"{label}: must have one modality, got {' and '.join(named)}; pass each by itself")
    if named == ["image"]:
        image = value["image"]
        # Under this key a str can only be the name of a file, or a data URI.
        found = _named(label, image) if isinstance(image, str) else source(label, image)
        found = Path(found) if isinstance(found, str) else found
        if found is None:
            raise InvalidInputError(f"{label}: must have an image under 'image', got {type(image).__name__}")
        return found
    if named == ["text"] and isinstance(value["text"], str):
        return value["text"]
    return None


def _of_pil(label: str, image: PilImage) -> _Pixels:
    """Return the pixels of an image of PIL. Its EXIF orientation is not applied, as in sentence-transformers."""
    has_alpha = image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info
    mode = "RGBA" if has_alpha else "L" if image.mode == "L" else "RGB"
    try:
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    except (OSError, ValueError, SyntaxError) as error:
        name = getattr(image, "filename", "")
        raise InvalidInputError(f"{label}: {name + ': ' if name else ''}can't be decoded: {error}") from error
    return _of_array(label, pixels if pixels.ndim == 3 else pixels[..., None])


def _of_array(label: str, value: Any) -> _Pixels:
    """Return the pixels of an array or a tensor, with the channels last or first."""
    array = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    if array.ndim != 3 or array.dtype != np.uint8:
        got = f"{array.dtype} of shape {array.shape}"
        raise InvalidInputError(f"{label}: must be an image of uint8, (height, width, channels), got {got}")
    if array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        array = array.transpose(1, 2, 0)
    height, width, channels = array.shape
    if channels not in _CHANNELS or 0 in array.shape:
        raise InvalidInputError(f"{label}: must be an image with 1, 3 or 4 channels, got shape {array.shape}")
    return array.tobytes(), width, height, channels
