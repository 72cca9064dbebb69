"""Columns of tables as inputs, and embeddings as columns."""

from __future__ import annotations

import importlib
import tracemalloc

import numpy as np
import pytest
from cases import DATA

from rushlight import Model, SparseModel, _arguments, _columns
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

TEXTS = ["A small lamp.", "", "ünï ☃ 文字", *(f"text {i}" for i in range(2500))]


def arrow():
    return pytest.importorskip("pyarrow")


def columns(values: list[str | None]) -> dict:
    pa = arrow()
    made = {
        "array": pa.array(values, pa.string()),
        "large": pa.array(values, pa.large_string()),
        "view": pa.array(values, pa.string_view()),
        "dictionary": pa.array(values, pa.string()).dictionary_encode(),
        "chunked": pa.chunked_array([values[:7], values[7:]], pa.string()),
        "sliced": pa.array(["before", *values], pa.string())[1:],
    }
    if importlib.util.find_spec("pandas"):
        import pandas as pd

        made |= {kind: pd.Series(values, dtype=kind) for kind in ("object", "string", "string[pyarrow]")}
    if importlib.util.find_spec("polars"):
        import polars as pl

        made["polars"] = pl.Series(values, dtype=pl.String)
    return made


def test_columns_are_embedded_as_lists_are(model: Model) -> None:
    expected = model.encode(TEXTS)
    for kind, column in columns(TEXTS).items():
        assert np.array_equal(model.encode(column), expected), kind
        assert np.array_equal(np.concatenate(list(model.encode_iter(column))), expected), kind
    assert model.encode(arrow().array([], arrow().string())).shape == (0, 32)
    sparse = SparseModel(DATA / "sparse/splade-bert-max/model")
    assert sparse.encode_query(arrow().array(TEXTS[:5])) == sparse.encode_query(TEXTS[:5])


def test_columns_stay_in_arrows_memory(model: Model) -> None:
    # A list of Python strings of as many takes 9 MB.
    texts = [f"{'a long text ' * 5}{i}" for i in range(70_000)]
    made = columns(texts)
    del made["object"]
    for kind, column in made.items():
        tracemalloc.start()
        rows, single = _arguments.inputs(column)
        chunks = rows.chunks
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (type(rows), len(rows), single) == (_columns.Strings, len(column), False), kind
        assert peak < 200_000, (kind, peak)
        assert all(data.base is not None for _, data in chunks), kind
    for kind in ("array", "large", "sliced"):
        data = made[kind].buffers()[2]
        assert _arguments.inputs(made[kind])[0].chunks[0][1].ctypes.data == data.address, kind
    last = made["chunked"][-5:]
    assert np.array_equal(model.encode(last), model.encode(texts[-5:]))
    assert model.count_tokens(last) == model.count_tokens(texts[-5:])
    out = np.empty((5, 32), np.float32)
    assert np.array_equal(model.encode(last, out=out), model.encode(texts[-5:]))
    with pytest.raises(InvalidArgumentError, match=r"inputs\[2\]"):
        model.encode(arrow().array(["a", "b", "c " * 600]), truncation="error")


def test_slices_of_columns(model: Model) -> None:
    pa = arrow()
    values = ["red", None, "a text of more than twelve bytes", "", "ünï ☃"]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        column = pa.chunked_array([pa.array(["before", *values], kind)[1:], pa.array(values[2:] * 3, kind)])
        plain = ["" if text is None else text for text in column.to_pylist()]
        rows = _columns.strings(column, "")
        assert len(rows) == len(plain) == 14
        count = model._engine.tokenizer(None).count
        for start, length in ((0, 14), (3, 5), (4, 2), (13, 9), (14, 3), (99, 1)):
            part = rows.slice(start, length)
            expected = plain[start : start + length]
            assert (len(part), count(part)) == (len(expected), count(expected)), (kind, start)
        assert len(rows.slice(2, 9).slice(1, 3)) == 3
        assert _columns.strings(column, None) is None
    for other in ([], ["a"], pa.array([1]), pa.array([None]), pa.table({"a": ["a"]}), np.zeros(3)):
        assert _columns.strings(other, None) is None


def test_strings_of_invalid_unicode_are_named(model: Model) -> None:
    pa = arrow()
    wrong = pa.chunked_array([pa.array(["good"]), pa.array([b"good", b"\xff\xfe"], pa.binary()).view(pa.string())])
    with pytest.raises(InvalidInputError, match=r"inputs\[2\]: must be a string of valid UTF-8"):
        model.encode(wrong)
    with pytest.raises(InvalidInputError, match=r"inputs\[2\]"):
        list(model.encode_iter(wrong, chunk_size=2))


def test_nulls_are_named_or_replaced(model: Model) -> None:
    expected = model.encode(["a", "none", "b"])
    for kind, column in columns(["a", None, "b"]).items():
        for call in (model.encode, model.encode_query, lambda inputs: list(model.encode_iter(inputs))):
            with pytest.raises(InvalidInputError, match=r"inputs\[1\]: must be a str, got a null; .*null_value"):
                call(column)
        assert np.array_equal(model.encode(column, null_value="none"), expected), kind
        assert np.array_equal(next(model.encode_iter(column, null_value="none")), expected), kind
    assert np.array_equal(model.encode(["a", None, "b"], null_value="none"), expected)
    assert np.array_equal(model.encode(iter(["a", float("nan"), "b"]), null_value="none"), expected)
    with pytest.raises(InvalidArgumentError, match="null_value: must be a str, got int"):
        model.encode(["a"], null_value=0)


def test_other_columns_are_named(model: Model) -> None:
    pa = arrow()
    with pytest.raises(InvalidInputError, match=r"inputs\[0\]: must be a str.* got int"):
        model.encode(pa.array([1, 2]))
    with pytest.raises(InvalidInputError, match="inputs: must have one axis, of str, got Table"):
        model.encode(pa.table({"text": ["a"]}))


def test_rows_share_their_memory(model: Model) -> None:
    pa = arrow()
    from rushlight.integrations.arrow import array

    rows = model.encode(TEXTS[:5])
    column = array(rows)
    assert column.type == pa.list_(pa.float32(), 32)
    assert column.values.buffers()[1].address == rows.ctypes.data
    assert np.array_equal(np.array(column.to_pylist(), np.float32), rows)
    lists = array(rows, fixed_size=False)
    assert lists.type == pa.list_(pa.float32())
    assert lists.values.buffers()[1].address == rows.ctypes.data
    assert array(rows[:0]).type == column.type
    bits = model.encode(TEXTS[:5], precision="ubinary")
    assert np.array_equal(np.array(array(bits).to_pylist(), np.uint8), bits)
    assert array(rows[:, 0]).to_pylist() == rows[:, 0].tolist()


def test_other_embeddings_as_columns() -> None:
    pa = arrow()
    from rushlight.integrations.arrow import array

    embeddings = SparseModel(DATA / "sparse/splade-bert-max/model").encode_document(TEXTS[:5])
    column = array(embeddings)
    assert column.field("values").values.buffers()[1].address == embeddings.values.ctypes.data
    for row, value in zip(embeddings, column.to_pylist(), strict=True):
        assert (row.indices.tolist(), row.values.tolist()) == (value["indices"], value["values"])
    texts = [np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros((0, 2), np.float32)]
    assert array(texts).to_pylist() == [[[0, 1], [2, 3], [4, 5]], []]
    assert array(texts).type == pa.list_(pa.list_(pa.float32(), 2))
    for wrong in ([], np.zeros((2, 2, 2))):
        with pytest.raises(InvalidArgumentError, match="embeddings: "):
            array(wrong)
