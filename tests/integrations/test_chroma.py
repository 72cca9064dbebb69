"""`rushlight.integrations.chroma`."""

from __future__ import annotations

import subprocess
import sys

import checks
import numpy as np
import pytest
from checks import FOLDER, MANY, SPARSE, TEXTS

chromadb = pytest.importorskip("chromadb")

from rushlight.exceptions import InvalidArgumentError
from rushlight.integrations.chroma import RushlightEmbeddingFunction, RushlightSparseEmbeddingFunction

TEXTS = [text or "empty" for text in TEXTS]


def test_embeddings(model) -> None:
    function = RushlightEmbeddingFunction(model=FOLDER)
    assert checks.equal(function(TEXTS), model.encode_document(TEXTS))
    assert checks.equal(function.embed_query(TEXTS), model.encode_query(TEXTS))
    assert checks.equal(function(MANY), model.encode_document(MANY))
    assert function.default_space() == "cosine"
    again = RushlightEmbeddingFunction.build_from_config(
        RushlightEmbeddingFunction(FOLDER, truncate_dim=5, token="secret").get_config()
    )
    assert again.get_config() == {"model": FOLDER, "options": {"truncate_dim": 5}}
    assert checks.equal(again(["a"]), model.encode_document(["a"], truncate_dim=5))


def test_settings_that_change_embeddings_stay() -> None:
    function = RushlightEmbeddingFunction(FOLDER, truncate_dim=5)
    old = function.get_config()
    function.validate_config(old)
    function.validate_config_update(old, {"model": "moved", "options": {"truncate_dim": 5, "device": "cpu"}})
    with pytest.raises(InvalidArgumentError, match="truncate_dim: can't change from 5 to None"):
        function.validate_config_update(old, {"model": FOLDER, "options": {}})
    with pytest.raises(InvalidArgumentError, match="must have a str `model`"):
        function.validate_config({})


def test_a_collection_is_opened_in_another_process(tmp_path) -> None:
    client = chromadb.PersistentClient(str(tmp_path))
    collection = client.create_collection("texts", embedding_function=RushlightEmbeddingFunction(FOLDER))
    collection.add(ids=["0", "1"], documents=["a lamp", "a train"])
    expected = collection.query(query_texts=["a lamp"], n_results=2)["ids"]
    code = f"""
import chromadb, rushlight.integrations.chroma
collection = chromadb.PersistentClient({str(tmp_path)!r}).get_collection("texts")
print(collection.query(query_texts=["a lamp"], n_results=2)["ids"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{expected}\n"


def test_sparse_embeddings(sparse) -> None:
    function = RushlightSparseEmbeddingFunction.build_from_config(RushlightSparseEmbeddingFunction(SPARSE).get_config())
    for found, expected in [
        (function(TEXTS), sparse.encode_document(TEXTS)),
        (function.embed_query(TEXTS), sparse.encode_query(TEXTS)),
    ]:
        for row, other in zip(found, expected, strict=True):
            assert row.indices == other.indices.tolist()
            assert np.array_equal(np.array(row.values, np.float32), other.values)
