"""Ctrl-C stops what computes, within a second."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cases import DATA, tiny
from interrupts import check_interrupt

from rushlight import Model, MultiVectorModel, Reranker, SparseModel

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

MANY = [f"text {i} " * 30 for i in range(400_000)]
LONG = [f"text {i} " * 100_000 for i in range(64)]


def dense() -> Model:
    return Model(tiny("bert-mean-normalize").model)


def other(kind: type[Any], case: str) -> Any:
    return kind(DATA / case / "model")


CALLS: dict[str, Callable[[], object]] = {
    "encode, many": lambda: dense().encode(MANY),
    "encode, long": lambda: dense().encode(LONG),
    "encode, all that is computed": lambda: dense().encode(MANY, output_value="token_embeddings"),
    "encode, by a pool": lambda: dense().encode(MANY, device=["cpu", "cpu"]),
    "encode_iter": lambda: sum(len(rows) for rows in dense().encode_iter(MANY)),
    "count_tokens": lambda: dense().count_tokens(MANY),
    "tokenize": lambda: dense().tokenize(MANY),
    "Reranker.predict": lambda: other(Reranker, "rerank/rerank-bert").predict([("a query", text) for text in MANY]),
    "SparseModel.encode": lambda: other(SparseModel, "sparse/splade-bert-max").encode(MANY),
    "SparseModel.encode, sums": lambda: other(SparseModel, "sparse/splade-distilbert-sum").encode(MANY),
    "MultiVectorModel.encode": lambda: other(MultiVectorModel, "multi_vector/multivector-pylate-bert").encode_document(
        MANY
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_stops_it_within_a_second(name: str) -> None:
    check_interrupt(CALLS[name])
    assert dense().encode(["text"]).shape == (1, 32)


HUGE = """
import sys, threading, time, signal
from rushlight import Model

model = Model(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
sent = []
threading.Timer(1, lambda: (sent.append(time.process_time()), signal.raise_signal(signal.SIGINT))).start()
try:
    getattr(model, sys.argv[2])("one text of many bytes " * 2_000_000)
except KeyboardInterrupt:
    print(time.process_time() - sent[0])
"""


@pytest.mark.parametrize("method", ["encode", "chunk"])
def test_an_interrupt_stops_a_huge_text_within_a_second(method: str) -> None:
    # In a process of its own, which takes with it the thread that works on.
    command = [sys.executable, "-c", HUGE, str(tiny("bert-mean-normalize").model), method]
    assert float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) < 3
