"""Models that are loaded as another kind than they were saved as."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rushlight.exceptions import UnsupportedModelError

if TYPE_CHECKING:
    from pathlib import Path

# Older folders name no kind.
_DEFAULT_KIND = "SentenceTransformer"


def refuse_conversion(folder: Path, kind: str, error: UnsupportedModelError) -> None:
    """Raise the reason why a folder that was saved as another kind is not converted.

    sentence-transformers would make the weights that the folder lacks at random.
    """
    if not (folder / "modules.json").is_file():
        return
    path = folder / "config_sentence_transformers.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    saved = settings.get("model_type") or _DEFAULT_KIND
    if saved != kind:
        raise UnsupportedModelError(
            f"{error}; sentence-transformers would convert the {saved}, with modules that are not trained: train it "
            f"there as a {kind}, and load the saved model"
        ) from error
