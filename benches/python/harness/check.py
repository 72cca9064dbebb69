"""Whether a contender computes what it should: no time is reported of one that doesn't."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import paths

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contenders import Worker

TOLERANCE = 1e-4


def check(worker: Worker, model: Path) -> dict[str, Any]:
    """Hold a contender's embeddings against what sentence-transformers gives in float64.

    The texts are the tests': real and odd ones, in many scripts, none at all, thousands of words. Those that the model
    must cut are reported apart: some contenders cut them elsewhere, and no workload has any.
    """
    folder = paths.EXPECTED / model.name
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    limit = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["max_seq_length"]
    # The ids are after cutting: a text that fills the limit may have been longer.
    cut = np.array([len(ids) >= limit for ids in json.loads((folder / "token_ids.json").read_text(encoding="utf-8"))])
    got = np.array(worker.embed(texts), dtype=np.float64)
    expected = np.load(folder / "expected64.npy")
    if got.shape != expected.shape:
        raise ValueError(f"{worker.name}: embeddings of shape {got.shape}, not {expected.shape}")
    worst = np.nan_to_num(np.abs(got - expected), nan=np.inf).max(axis=1)
    difference = float(worst[~cut].max())
    return {
        "largest_difference": difference,
        "largest_difference_of_cut_texts": float(worst[cut].max()),
        "texts": len(texts),
        "right": difference <= TOLERANCE,
    }
