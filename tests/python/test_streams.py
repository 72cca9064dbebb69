"""Streams, results in the caller's arrays, and asyncio."""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import tiny

from rushlight import Model
from rushlight.exceptions import InferenceError, InvalidArgumentError, InvalidInputError

TEXTS = [f"text {i % 17} of {i}" for i in range(50)]


@pytest.mark.parametrize("chunk_size", [1, 7, 50, 1000])
@pytest.mark.parametrize("options", [{}, {"precision": "ubinary"}, {"normalize_embeddings": True, "truncate_dim": 5}])
def test_chunks_are_the_rows_of_encode(model: Model, chunk_size: int, options) -> None:
    chunks = list(model.encode_iter(iter(TEXTS), chunk_size=chunk_size, **options))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
    assert 0 < len(chunks[-1]) <= chunk_size
    expected = model.encode(TEXTS, **options)
    assert np.concatenate(chunks).dtype == expected.dtype
    assert np.array_equal(np.concatenate(chunks), expected)


def test_prompts_pairs_and_arrays_of_a_stream() -> None:
    model = Model(tiny("bert-cls-normalize-prompts").model)
    for name in model.prompts:
        (chunk,) = model.encode_iter(TEXTS, prompt_name=name)
        assert np.array_equal(chunk, model.encode(TEXTS, prompt_name=name))
    (chunk,) = model.encode_iter([("a", "b")])
    assert np.array_equal(chunk, model.encode([("a", "b")]))
    (chunk,) = model.encode_iter(np.array(TEXTS))
    assert np.array_equal(chunk, model.encode(TEXTS))


def test_no_texts_give_no_arrays(model: Model) -> None:
    assert list(model.encode_iter([])) == []


def test_an_endless_stream_is_two_chunks_ahead_at_most(model: Model) -> None:
    taken = 0

    def endless():
        nonlocal taken
        for taken in itertools.count(1):
            yield f"text {taken}"

    stream = model.encode_iter(endless(), chunk_size=10)
    assert taken == 0
    for chunk in range(1, 4):
        assert next(stream).shape == (10, 32)
        assert taken == 10 * (chunk + 1)


def test_what_goes_wrong_comes_after_the_chunks_before_it(model: Model) -> None:
    def broken():
        yield from TEXTS[:25]
        raise LookupError("the source is gone")

    for texts, error, message in [
        (broken(), LookupError, "the source is gone"),
        ([*TEXTS[:25], None], InvalidInputError, r"inputs\[25\].*NoneType"),
        ([*TEXTS[:25], "\ud800"], InvalidInputError, r"inputs\[25\]"),
    ]:
        stream = model.encode_iter(texts, chunk_size=10)
        got = [next(stream), next(stream)]
        assert np.array_equal(np.concatenate(got), model.encode(TEXTS[:20]))
        with pytest.raises(error, match=message):
            next(stream)
        assert list(stream) == []


@pytest.mark.parametrize("inputs", ["text", b"text", {"a": 1}, {"a"}, 5, None])
def test_what_is_no_stream_of_texts(model: Model, inputs) -> None:
    with pytest.raises(InvalidInputError, match=f"inputs: .*{type(inputs).__name__}"):
        model.encode_iter(inputs)


@pytest.mark.parametrize(
    ("option", "value"),
    [("chunk_size", 0), ("chunk_size", 1.5), ("precision", "int8"), ("truncation", "no"), ("prompt_name", "no"),
     ("truncate_dim", 0)],
)  # fmt: skip
def test_options_of_a_stream_are_checked_at_once(model: Model, option: str, value) -> None:
    with pytest.raises(InvalidArgumentError, match=option):
        model.encode_iter(TEXTS, **{option: value})


def test_long_texts_of_a_stream(model: Model, caplog) -> None:
    texts = ["a", "word " * 1000, "b", "word " * 2000]
    with caplog.at_level(logging.WARNING, "rushlight"):
        list(model.encode_iter(texts, chunk_size=1, truncation="warn"))
    (record,) = caplog.records
    assert "2 of 4 texts were cut" in record.message
    stream = model.encode_iter(texts, chunk_size=1, truncation="error")
    next(stream)
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]"):
        next(stream)


def test_a_closed_model_has_no_streams(model: Model) -> None:
    stream = model.encode_iter(TEXTS, chunk_size=20)
    first = next(stream)
    model.close()
    # One that is under way goes on.
    assert len(np.concatenate([first, *stream])) == len(TEXTS)
    with pytest.raises(InferenceError):
        model.encode_iter(TEXTS)


def test_memory_does_not_grow_with_a_stream() -> None:
    program = f"""
import resource, sys
from rushlight import Model
model = Model({str(tiny("bert-mean-normalize").model)!r})
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def run(n):
    return sum(len(rows) for rows in model.encode_iter(f"text {{i}}" for i in range(n)))
run(4_000)
before = peak()
assert run(40_000) == 40_000
print(peak() - before)
"""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    # The embeddings alone would be 5 MB. ru_maxrss is in KiB, on macOS in bytes.
    assert int(done.stdout) < 3_000 * (1024 if sys.platform == "darwin" else 1), done


@pytest.mark.parametrize(("precision", "dtype", "columns"), [("float32", "float32", 32), ("binary", "int8", 4)])
def test_embeddings_are_written_into_an_array(model: Model, tmp_path, precision: str, dtype: str, columns: int) -> None:
    expected = model.encode(TEXTS, precision=precision)
    mapped = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", dtype, (len(TEXTS), columns))
    for out in (np.empty((len(TEXTS), columns), dtype), mapped):
        assert model.encode(TEXTS, out=out, precision=precision) is out
        assert np.array_equal(out, expected)
    mapped.flush()
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)
    out = np.empty(columns, dtype)
    assert model.encode(TEXTS[0], out=out, precision=precision) is out
    assert np.array_equal(out, expected[0])
    out = np.empty((3, columns), dtype)[1:]
    assert np.array_equal(model.encode(iter(TEXTS[:2]), out=out, precision=precision), expected[:2])


def test_an_array_is_filled_in_several_chunks(model: Model) -> None:
    texts = [f"text {i}" for i in range(2500)]
    out = np.zeros((2500, 8), np.float32)
    told = model.encode(texts, out=out, truncate_dim=8, show_progress_bar=True)
    assert told is out
    assert np.array_equal(out, model.encode(texts, truncate_dim=8))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ([[0.0] * 32] * 2, "list"),
        (np.zeros((2, 31), np.float32), r"\(2, 32\)"),
        (np.zeros((3, 32), np.float32), r"\(2, 32\)"),
        (np.zeros(32, np.float32), r"\(2, 32\)"),
        (np.zeros((2, 32)), "float32.*float64"),
        (np.zeros((2, 32), ">f4"), "float32"),
        (np.zeros((32, 2), np.float32).T, "contiguous"),
        (np.zeros((2, 64), np.float32)[:, ::2], "contiguous"),
        (np.broadcast_to(np.float32(0), (2, 32)).copy(), None),
    ],
)
def test_arrays_that_do_not_fit(model: Model, out, message: str | None) -> None:
    if message is None:
        out.flags.writeable = False
        message = "writable"
    with pytest.raises(InvalidArgumentError, match=f"out: .*{message}"):
        model.encode(TEXTS[:2], out=out)


@pytest.mark.parametrize(
    "options", [{"precision": "int8"}, {"output_value": None}, {"output_value": "token_embeddings"}]
)
def test_results_that_are_not_written_into_arrays(model: Model, options) -> None:
    with pytest.raises(InvalidArgumentError, match="out: "):
        model.encode(TEXTS, out=np.zeros((len(TEXTS), 32), np.float32), **options)


def test_asyncio_goes_on_meanwhile(model: Model) -> None:
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        results = await asyncio.gather(*(model.encode_async(TEXTS * 40, normalize_embeddings=True) for _ in range(4)))
        ticking.cancel()
        return ticks, results

    ticks, results = asyncio.run(main())
    assert ticks > 0
    expected = model.encode(TEXTS * 40, normalize_embeddings=True)
    assert all(np.array_equal(result, expected) for result in results)
    with pytest.raises(InvalidInputError, match=r"inputs\[1\]"):
        asyncio.run(model.encode_async(["a", None]))


def test_roles_keep_their_prompts_without_waiting() -> None:
    model = Model(tiny("bert-cls-normalize-prompts").model, prompts={"query": "query: ", "document": "passage: "})
    query = asyncio.run(model.encode_query_async("a lamp"))
    document = asyncio.run(model.encode_document_async(["a lamp", "a town"], normalize_embeddings=True))
    assert np.array_equal(query, model.encode_query("a lamp"))
    assert np.array_equal(document, model.encode_document(["a lamp", "a town"], normalize_embeddings=True))
    assert not np.array_equal(query, model.encode("a lamp", prompt=""))


def test_cancelling_stops_the_computation(model: Model) -> None:
    texts = [f"text {i} " + "word " * 100 for i in range(200_000)]

    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        call = asyncio.create_task(model.encode_async(texts))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # The only thread takes other work when it has stopped, long before it would have computed all.
        await loop.run_in_executor(None, str)
        return time.monotonic() - began

    assert asyncio.run(main()) < 5
    assert len(model.encode(["still there"])) == 1
