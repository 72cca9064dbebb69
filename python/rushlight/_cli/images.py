"""Folders of images as inputs of commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rushlight._cli.reading import Record
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rushlight import Model

# Endings of the formats that rushlight decodes.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
# Field of an image's path below the folder.
FIELD = "image"


class Folder:
    """Images in a folder and in those below it, in the order of their names.

    Raises
    ------
    InvalidArgumentError
        There is no such folder, or no image in it.
    """

    def __init__(self, place: str) -> None:
        self._folder = Path(place)
        if not self._folder.is_dir():
            raise InvalidArgumentError(f"{place}: no such folder")
        self._files = sorted(self._found())
        if not self._files:
            raise InvalidArgumentError(f"{place}: no images; their names end with {', '.join(ENDINGS)}")

    def _found(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self._folder):
            yield from (Path(folder, name) for name in names if name.lower().endswith(ENDINGS))

    def records(self) -> Iterator[Record]:
        """Yield the images, each with its path below the folder."""
        for file in self._files:
            yield Record(file, {FIELD: file.relative_to(self._folder).as_posix()}, str(file))

    def count(self) -> int:
        """Return the number of images."""
        return len(self._files)


def check(model: Model, place: str) -> None:
    """Check that a model embeds images.

    Raises
    ------
    InvalidArgumentError
        It embeds texts alone.
    """
    if "image" not in model.modalities:
        raise InvalidArgumentError(f"{place}: holds images, and {model} embeds texts alone; CLIP and SigLIP embed both")
