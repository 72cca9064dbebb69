"""Models that the server under test has."""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).parents[1] / "data"
MODEL = _DATA / "tiny/bert-mean-normalize/model"
RERANKER = _DATA / "rerank/rerank-bert/model"
