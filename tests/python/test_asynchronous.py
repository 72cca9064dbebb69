"""Asynchronous methods of all kinds of models."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from cases import DATA, tiny

from rushlight import Model, MultiVectorModel, Reranker, SparseModel

TEXTS = ["A small lamp.", "", "a lantern"]
PAIRS = [("a lamp", text) for text in TEXTS]


def test_the_results_are_those_of_the_other_methods() -> None:
    sparse = SparseModel(DATA / "sparse/splade-router-static-query/model")
    for name in ("encode", "encode_query", "encode_document"):
        assert asyncio.run(getattr(sparse, f"{name}_async")(TEXTS)) == getattr(sparse, name)(TEXTS)
    vectors = MultiVectorModel(DATA / "multi_vector/multivector-stanford-bert/model")
    for name in ("encode_query", "encode_document"):
        found = asyncio.run(getattr(vectors, f"{name}_async")(TEXTS))
        assert all(map(np.array_equal, found, getattr(vectors, name)(TEXTS)))
    assert asyncio.run(vectors.rank_async("a lamp", TEXTS)) == vectors.rank("a lamp", TEXTS)
    reranker = Reranker(DATA / "rerank/rerank-bert/model")
    assert np.array_equal(asyncio.run(reranker.predict_async(PAIRS)), reranker.predict(PAIRS))
    assert asyncio.run(reranker.rank_async("a lamp", TEXTS, top_k=2)) == reranker.rank("a lamp", TEXTS, top_k=2)


def test_cancelling_stops_every_kind() -> None:
    """The thread of a cancelled call ends long before its texts would."""
    texts = [f"{i} " + "lamp " * 200 for i in range(20_000)]

    async def cancelled(call) -> None:
        task = asyncio.create_task(call())
        await asyncio.sleep(0.3)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return
        raise AssertionError("the call ended before it was cancelled")

    models = [
        Model(tiny("bert-mean-normalize").model).encode_document_async,
        SparseModel(DATA / "sparse/splade-bert-max/model").encode_document_async,
        MultiVectorModel(DATA / "multi_vector/multivector-stanford-bert/model").encode_document_async,
        lambda texts: Reranker(DATA / "rerank/rerank-bert/model").predict_async([(text, text) for text in texts]),
    ]
    for call in models:
        start = time.perf_counter()
        asyncio.run(cancelled(lambda call=call: call(texts)))  # waits for the executor's threads
        assert time.perf_counter() - start < 10
