"""Models that are loaded as another kind than they were saved as."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rushlight.exceptions import UnsupportedModelError

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = ("SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder")


def refuse_conversion(folder: Path, kind: str, error: UnsupportedModelError) -> None:
    """Raise the reason why a folder is not loaded, if it was saved as another kind.

    sentence-transformers converts such a model: it puts modules of `kind` on the transformer that were not trained for
    it, mostly with random weights.
    """
    path = folder / "config_sentence_transformers.json"
    saved = json.loads(path.read_text(encoding="utf-8")).get("model_type") if path.is_file() else None
    if saved in _KINDS and saved != kind:
        raise UnsupportedModelError(
            f"{error}; sentence-transformers would convert the {saved}, with modules that are not trained: train it "
            f"there as a {kind}, and load the saved model"
        ) from error
