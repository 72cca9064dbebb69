"""Checks that the classes of all frameworks pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from cases import DATA, tiny

from rushlight import Model

# Its queries and documents have prompts of their own.
FOLDER = str(tiny("bert-cls-normalize-prompts").model)
RERANKER = str(DATA / "rerank/rerank-bert/model")
SPARSE = str(DATA / "sparse/splade-router-static-query/model")
VECTORS = str(DATA / "multi_vector/multivector-stanford-bert/model")
TEXTS = ["A small lamp.", "", "ünï ☃ 文字 \u202e", "a\nb", "word " * 300]
MANY = [f"lamp number {i}" for i in range(10_000)]

Rows = Callable[[list[str]], list]
Row = Callable[[str], list]


def equal(found: object, expected: np.ndarray) -> bool:
    rows = np.array(found, np.float32)
    return rows.shape == expected.shape and bool(np.array_equal(rows, expected))


def roles(model: Model, documents: Rows, query: Row | None = None) -> None:
    """Check the bits of documents and of a query, which differ by their prompts, and odd inputs."""
    assert not np.array_equal(model.encode_query("a lamp"), model.encode_document("a lamp"))
    assert equal(documents(TEXTS), model.encode_document(TEXTS))
    assert len(documents([])) == 0
    assert equal(documents(MANY), model.encode_document(MANY))
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(documents, [MANY[:500], MANY[:500]]):
            assert equal(found, model.encode_document(MANY[:500]))
    if query is not None:
        for text in TEXTS:
            assert equal(query(text), model.encode_query(text))


def asynchronous(
    model: Model, documents: Callable[[list[str]], Awaitable[list]], query: Callable[[str], Awaitable[list]]
) -> None:
    """Check the bits, that the event loop goes on meanwhile, and that cancelling stops the work."""

    async def both() -> tuple[list, list]:
        return tuple(await asyncio.gather(documents(TEXTS), query("a lamp")))

    rows, row = asyncio.run(both())
    assert equal(rows, model.encode_document(TEXTS))
    assert equal(row, model.encode_query("a lamp"))

    async def ticks() -> int:
        task, count = asyncio.create_task(documents(MANY[:3000])), 0
        while not task.done():
            await asyncio.sleep(0.005)
            count += 1
        await task
        return count

    assert asyncio.run(ticks()) >= 5

    async def cancelled() -> None:
        task = asyncio.create_task(documents([f"{i} " + "word " * 100 for i in range(50_000)]))
        await asyncio.sleep(0.3)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return
        raise AssertionError("ended before it was cancelled")

    start = time.perf_counter()
    asyncio.run(cancelled())  # waits for its threads
    assert time.perf_counter() - start < 20
