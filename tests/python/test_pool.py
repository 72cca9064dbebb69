"""Several workers for one call."""

from __future__ import annotations

import numpy as np
import pytest
from cases import tiny

from rushlight import Model
from rushlight.exceptions import DeviceError, InferenceError, InvalidArgumentError, InvalidInputError

TEXTS = [f"text {i % 31} of {i}" for i in range(203)]


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 1000])
@pytest.mark.parametrize("options", [{}, {"precision": "int8"}, {"normalize_embeddings": True, "truncate_dim": 5}])
def test_workers_give_what_one_gives(model: Model, chunk_size: int | None, options) -> None:
    expected = model.encode(TEXTS, **options)
    with model.start_multi_process_pool(["cpu"] * 3) as pool:
        got = model.encode(TEXTS, pool=pool, chunk_size=chunk_size, **options)
        np.testing.assert_array_equal(got, expected)
        again = model.encode_multi_process(TEXTS, pool, chunk_size=chunk_size, **options)
        np.testing.assert_array_equal(again, expected)
    devices = model.encode(TEXTS, device=["cpu", "cpu"], chunk_size=chunk_size, **options)
    np.testing.assert_array_equal(devices, expected)


def test_single_texts_none_and_arrays_of_the_callers(model: Model) -> None:
    pool = model.start_multi_process_pool()
    assert model.encode("a", pool=pool).shape == (model.embedding_dimension,)
    assert model.encode([], pool=pool).shape == (0, model.embedding_dimension)
    out = np.empty((len(TEXTS), model.embedding_dimension), np.float32)
    assert model.encode(TEXTS, pool=pool, out=out) is out
    np.testing.assert_array_equal(out, model.encode(TEXTS))
    query = Model(tiny("bert-cls-normalize-prompts").model)
    np.testing.assert_array_equal(query.encode_query(TEXTS, pool=pool), query.encode_query(TEXTS))


def test_errors_are_those_of_one_and_the_pool_stays_usable(model: Model) -> None:
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    with pytest.raises(InvalidInputError, match=r"inputs\[150\]"):
        model.encode([*TEXTS[:150], 3, *TEXTS[150:]], pool=pool, chunk_size=4)
    long = [*TEXTS[:150], "word " * 900, *TEXTS[150:]]
    with pytest.raises(InvalidArgumentError, match=r"inputs\[150\].*max_seq_length"):
        model.encode(long, pool=pool, chunk_size=4, truncation="error")
    np.testing.assert_array_equal(model.encode(long, pool=pool), model.encode(long))


def test_what_is_wrong_is_said(model: Model) -> None:
    with pytest.raises(DeviceError, match="cuda"):
        model.start_multi_process_pool(["cpu", "cuda:0"])
    with pytest.raises(DeviceError, match="cuda"):
        model.encode(TEXTS, device=["cuda"])
    with pytest.raises(InvalidArgumentError, match="at least one"):
        model.encode(TEXTS, device=[])
    with pytest.raises(InvalidArgumentError, match="at least one"):
        model.start_multi_process_pool([])
    with pytest.raises(InvalidArgumentError, match="chunk_size"):
        model.encode(TEXTS, device=["cpu"], chunk_size=0)
    with pytest.raises(InvalidArgumentError, match="start_multi_process_pool"):
        model.encode(TEXTS, pool={"input": None})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="token_embeddings"):
        model.encode(TEXTS, device=["cpu"], output_value="token_embeddings")
    pool = model.start_multi_process_pool()
    model.stop_multi_process_pool(pool)
    assert repr(pool) == "Pool(closed)"
    with pytest.raises(InferenceError, match="closed"):
        model.encode(TEXTS, pool=pool)
