"""`rushlight.integrations` without the frameworks."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model, Reranker
from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations import fastembed
from rushlight.integrations._handle import Handle

FOLDER = str(tiny("bert-cls-normalize-prompts").model)
ABSENT = """
import sys
from importlib import import_module
from rushlight.exceptions import MissingDependencyError

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "rushlight", "numpy", "tqdm", "typing_extensions"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name, extra in [line.split() for line in sys.argv[1:]]:
    try:
        import_module(f"rushlight.integrations.{name}")
        print("no error", name)
    except MissingDependencyError as error:
        print(error.args[0].endswith(f"pip install 'rushlight[{extra}]'"), isinstance(error, ImportError))
"""
MODULES = {
    "_langchain_qdrant": "langchain-qdrant",
    "llama_index": "llama-index",
    **{name: name for name in ("arrow", "bertopic", "chroma", "duckdb", "haystack", "keybert", "lancedb", "langchain")},
    **{name: name for name in ("polars", "ray", "sklearn", "spark")},
}


def test_an_absent_framework_is_named_with_its_extra() -> None:
    words = [f"{name} {extra}" for name, extra in MODULES.items()]
    done = subprocess.run([sys.executable, "-c", ABSENT, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True True"] * len(MODULES), done


def test_a_handle_loads_late_and_once() -> None:
    handle = Handle(Model, FOLDER, {"truncate_dim": 5, "token": None})
    again = pickle.loads(pickle.dumps(handle))
    assert handle.model is again.model is Handle(Model, FOLDER, {}).model  # calls differ, not the model
    assert (handle.dimension, Handle(Model, FOLDER, {}).dimension) == (5, 32)
    assert handle.settings() == {"truncate_dim": 5}
    secret = Handle(Model, FOLDER, {"token": "secret"})
    assert secret.settings() == {}
    assert b"secret" not in pickle.dumps(secret)
    assert "secret" not in repr(secret)
    assert Handle(Model, "/no/such/model", {}).name == "/no/such/model"


def test_roles_have_their_prompts() -> None:
    model, handle = Model(FOLDER), Handle(Model, FOLDER, {})
    for role, call in [("query", model.encode_query), ("document", model.encode_document), (None, model.encode)]:
        assert np.array_equal(np.array(handle.lists(["a", "b"], role), np.float32), call(["a", "b"]))


def test_options_are_checked_at_once() -> None:
    with pytest.raises(InvalidArgumentError, match="dimensions: unknown option; there are device, "):
        Handle(Model, FOLDER, {"dimensions": 5})
    model = Model(FOLDER)
    with pytest.raises(InvalidArgumentError, match="dtype: options of loading, but `model` is loaded"):
        Handle(Model, model, {"dtype": "float32"})
    with pytest.raises(InvalidArgumentError, match="a loaded model's settings can't be saved"):
        Handle(Model, model, {}).settings()


def test_fastembeds_classes() -> None:
    assert np.array_equal(np.stack(list(fastembed.TextEmbedding(FOLDER).embed(["a"]))), Model(FOLDER).encode(["a"]))
    folder = str(DATA / "rerank/rerank-bert/model")
    scores = Reranker(folder).predict([("a", "b")], activation_fn="identity")
    assert list(fastembed.TextCrossEncoder(folder).rerank("a", ["b"])) == scores.tolist()
