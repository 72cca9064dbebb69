"""Check of a contender's results, before any time is reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import paths

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contenders import Worker

TOLERANCE = 1e-4
MEAN_COSINE = 0.95
"""Least mean cosine of a contender in lower precision: below, it computes something else."""


def check(worker: Worker, model: Path) -> dict[str, Any]:
    """Hold a contender's embeddings against what sentence-transformers gives in float64.

    The texts are the tests': real and odd ones, in many scripts, none at all, thousands of words. Those that the model
    must cut are reported apart: some contenders cut them elsewhere, and no workload has any.
    """
    texts, meta, token_ids = (read(model, f"{name}.json") for name in ("texts", "meta", "token_ids"))
    # The ids are after cutting: a text that fills the limit may have been longer.
    cut = np.array([len(ids) >= meta["max_seq_length"] for ids in token_ids])
    got = np.array(worker.embed(texts), dtype=np.float64)
    expected = np.load(stored(model, "expected64.npy"))
    if got.shape != expected.shape:
        raise ValueError(f"{worker.name}: embeddings of shape {got.shape}, not {expected.shape}")
    worst = np.nan_to_num(np.abs(got - expected), nan=np.inf).max(axis=1)
    difference = float(worst[~cut].max())
    cosine = float((got * expected).sum(axis=1)[~cut].mean())
    return {
        "largest_difference": difference,
        "largest_difference_of_cut_texts": float(worst[cut].max()),
        "mean_cosine": cosine,
        "texts": len(texts),
        "right": difference <= TOLERANCE if worker.exact else cosine >= MEAN_COSINE,
    }


def stored(model: Path, file: str) -> Path:
    """Return the path of a file of the tests' data, where equal files are stored once."""
    name = f"real/{model.name}/{file}"
    shared = json.loads((paths.DATA / "shared.json").read_text(encoding="utf-8"))
    return paths.DATA / shared.get(name, name)


def read(model: Path, file: str) -> Any:
    """Return the content of a JSON file of the tests' data."""
    return json.loads(stored(model, file).read_text(encoding="utf-8"))
