"""Cases of evaluators, with the models that they are called with."""

from __future__ import annotations

import json

from cases import DATA

import rushlight
from rushlight import compat, evaluation

FOLDER = DATA / "evaluation"
CASES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "cases").iterdir())}
KINDS = {
    "sentence": (rushlight.Model, compat.SentenceTransformer),
    "reranker": (rushlight.Reranker, compat.CrossEncoder),
    "sparse": (rushlight.SparseModel, compat.SparseEncoder),
    "multi_vector": (rushlight.MultiVectorModel, compat.MultiVectorEncoder),
}


def arguments(case: dict) -> dict:
    """Return the arguments of a case; JSON has no sets and no tuples."""
    given = dict(case["args"])
    if "relevant_docs" in given:
        given["relevant_docs"] = {query: set(documents) for query, documents in given["relevant_docs"].items()}
    return given


def judged(given: dict) -> dict[str, str]:
    """Return the queries that have a relevant document."""
    return {query: text for query, text in given["queries"].items() if given["relevant_docs"].get(query)}


def evaluator(name: str):
    return getattr(evaluation, CASES[name]["class"])(**arguments(CASES[name]))


def model(name: str, *, of_compat: bool = False):
    return KINDS[CASES[name]["kind"]][of_compat](FOLDER / CASES[name]["model"])
