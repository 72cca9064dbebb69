"""Similarity, against plain numpy in float64."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cases import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rushlight import Model
from rushlight.exceptions import InvalidArgumentError

MODEL = Model(tiny("bert-mean-normalize").model)


def reference(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    if name == "cosine":
        a = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12)
        b = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    if name in ("cosine", "dot"):
        return a @ b.T
    difference = a[:, None] - b[None]
    return -np.linalg.norm(difference, axis=2) if name == "euclidean" else -np.abs(difference).sum(axis=2)


matrices = st.integers(1, 70).flatmap(
    lambda width: st.tuples(
        *[
            hnp.arrays(np.float32, st.tuples(st.integers(0, 12), st.just(width)), elements=st.floats(-50, 50, width=32))
            for _ in "ab"
        ]
    )
)


@given(matrices, st.sampled_from(["cosine", "dot", "euclidean", "manhattan"]))
@settings(max_examples=150, deadline=None)
def test_it_is_that_of_plain_numpy(pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    a, b = pair
    MODEL.similarity_fn_name = name
    got, want = MODEL.similarity(a, b), reference(name, a, b)
    assert got.dtype == np.float32
    assert got.shape == want.shape
    size = max(np.abs(a).sum(axis=1).max(initial=1), 1) * max(np.abs(b).max(initial=1), 1)
    np.testing.assert_allclose(got, want, atol=1e-6 if name == "cosine" else 1e-6 * size, rtol=1e-6)
    n = min(len(a), len(b))
    pairwise = MODEL.similarity_pairwise(a[:n], b[:n])
    assert pairwise.shape == (n,)
    assert (pairwise == got[:n, :n].diagonal()).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8])
def test_kinds_of_embeddings(dtype: type) -> None:
    MODEL.similarity_fn_name = "dot"
    a = np.array([[1, 2], [3, 4]], dtype=dtype)
    assert MODEL.similarity(a, a).tolist() == [[5, 11], [11, 25]]
    assert MODEL.similarity(a[0], a).tolist() == [[5, 11]]
    assert MODEL.similarity(a.tolist(), list(a)).tolist() == [[5, 11], [11, 25]]
    assert MODEL.similarity(a[:, ::-1], a).tolist() == [[4, 10], [10, 24]]
    assert MODEL.similarity_pairwise(a, a).tolist() == [5, 25]
    assert MODEL.similarity([], a).shape == (0, 2) if a.shape[1] == 0 else True


def test_tensors_are_taken() -> None:
    class Tensor:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def detach(self):
            return self

        cpu = float = detach

        def numpy(self):
            return self.array

    MODEL.similarity_fn_name = "dot"
    a = np.eye(2, dtype=np.float32)
    assert MODEL.similarity(Tensor(a), [Tensor(row) for row in a]).tolist() == a.tolist()


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "3"),
        (np.ones((2, 3, 4)), np.ones((2, 4)), "shape"),
        (np.float32(3), np.ones((2, 4)), "shape"),
        (["text"], np.ones((2, 4)), "a:"),
        ([[1, 2], [3]], np.ones((2, 4)), "a:"),
        (None, np.ones((2, 4)), "a:"),
        (["1", "2"], np.ones((2, 4)), "numbers"),
        (np.ones((2, 4), dtype=complex), np.ones((2, 4)), "numbers"),
        (np.zeros((2, 4), dtype="M8[s]"), np.ones((2, 4)), "numbers"),
    ],
)
def test_what_is_no_embedding_is_refused(a, b, word: str) -> None:
    with pytest.raises(InvalidArgumentError, match=word):
        MODEL.similarity(a, b)


def test_pairwise_needs_as_many_of_both() -> None:
    with pytest.raises(InvalidArgumentError, match="rows"):
        MODEL.similarity_pairwise(np.ones((2, 3)), np.ones((3, 3)))


def test_a_large_product_takes_no_more_memory_than_its_result() -> None:
    resource = pytest.importorskip("resource")
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((100_000, 64), dtype=np.float32), rng.standard_normal((1_000, 64), dtype=np.float32)
    MODEL.similarity_fn_name = "cosine"
    MODEL.similarity(a[:10], b)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores = MODEL.similarity(a, b)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    # Where more was in use before, it is less than that.
    assert grown <= scores.nbytes + 64 * 2**20
    np.testing.assert_allclose(scores[[0, 99_999]], reference("cosine", a[[0, 99_999]], b), atol=1e-6)


def test_threads_get_the_same_bits() -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal((700, 40), dtype=np.float32)
    MODEL.similarity_fn_name = "cosine"
    want = MODEL.similarity(a, a).tobytes()
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(MODEL.similarity(a, a).tobytes())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [want] * 8
