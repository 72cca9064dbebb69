"""Loss of lower precision: cosines to float32, and nearest neighbours that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import session
from harness.workloads import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEIGHBOURS = 10
TEXTS = {"short": 150, "mixed": 250, "long": 100}


def measure(model: str, names: Sequence[str], threads: int) -> dict[str, Any]:
    """Compare each contender's embeddings of 500 texts with ours in float32."""
    from rushlight import Model

    folder = session.model_folder(model)
    ours = Model(folder)
    workloads = Writer(folder, ours.count_tokens).workloads()
    texts = [text for name, count in TEXTS.items() for text in workloads[name][:count]]
    exact = ours.encode(texts).astype(np.float64)
    with session.checked(names, folder, threads) as (workers, reports):
        figures = {}
        for worker in workers:
            got = np.array(worker.embed(texts), dtype=np.float64)
            figures[worker.name] = figure = compare(got, exact)
            print(f"{worker.name}: " + ", ".join(f"{name} {value:.4f}" for name, value in figure.items()))
    return {"contenders": reports, "texts": len(texts), "quality": figures}


def compare(got: NDArray[np.float64], exact: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean and the least cosine, and the share of the ten nearest neighbours that agree."""
    cosines = (got * exact).sum(axis=1)
    same = [len(set(a) & set(b)) for a, b in zip(_nearest(got), _nearest(exact), strict=True)]
    return {
        "mean_cosine": float(cosines.mean()),
        "least_cosine": float(cosines.min()),
        "neighbours": float(np.mean(same)) / NEIGHBOURS,
    }


def _nearest(rows: NDArray[np.float64]) -> NDArray[np.intp]:
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1)[:, :NEIGHBOURS]
