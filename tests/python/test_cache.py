"""`rushlight.load`: models that the process shares."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cases import DATA, tiny

import rushlight
from rushlight import Model, Reranker, _cache
from rushlight.exceptions import InvalidArgumentError, ModelNotFoundError

FOLDER = tiny("bert-mean-normalize").model


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(_cache, "_entries", {})


def test_a_model_is_loaded_once_by_name_kind_and_options() -> None:
    model = rushlight.load(FOLDER)
    assert isinstance(model, Model)
    assert rushlight.load(str(FOLDER)) is rushlight.load(Path(FOLDER), Model) is model
    prompted = rushlight.load(FOLDER, prompts={"query": "q: ", "document": "d: "})
    assert prompted is not model
    assert rushlight.load(FOLDER, prompts={"document": "d: ", "query": "q: "}) is prompted
    assert rushlight.load(FOLDER, truncate_dim=5).embedding_dimension == 5
    reranker = rushlight.load(DATA / "rerank/rerank-bert/model", Reranker)
    assert isinstance(reranker, Reranker)


def test_threads_load_once(monkeypatch) -> None:
    loaded = []
    real = Model.__init__
    monkeypatch.setattr(Model, "__init__", lambda self, *a, **b: (loaded.append(1), real(self, *a, **b))[1])
    start = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        models = set(pool.map(lambda _: (start.wait(), rushlight.load(FOLDER))[1], range(4)))
    assert (len(models), len(loaded)) == (1, 1)


def test_a_closed_model_is_loaded_again() -> None:
    model = rushlight.load(FOLDER)
    model.close()
    assert rushlight.load(FOLDER).encode("a").shape == (32,)


def test_what_can_not_be_loaded() -> None:
    for _ in range(2):  # errors are not kept
        with pytest.raises(ModelNotFoundError):
            rushlight.load("/no/such/folder")
    with pytest.raises(InvalidArgumentError, match="kind: must be a class of models"):
        rushlight.load(FOLDER, "reranker")
    with pytest.raises(TypeError, match="no_such_option"):
        rushlight.load(FOLDER, no_such_option=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_takes_models_and_no_held_lock() -> None:
    rushlight.load(FOLDER)
    (entry,) = _cache._entries.values()
    with entry.lock:
        child = os.fork()
        if child == 0:
            os._exit(rushlight.load(FOLDER).encode(["a"]).shape != (1, 32))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
