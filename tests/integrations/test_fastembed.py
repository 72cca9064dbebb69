"""`rushlight.integrations.fastembed`, beside fastembed where that is installed."""

from __future__ import annotations

import inspect

import checks
import numpy as np
import pytest
from cases import real
from checks import FOLDER, MANY, RERANKER, SPARSE, TEXTS, VECTORS

from rushlight import MultiVectorModel, get_num_threads, set_num_threads
from rushlight.exceptions import InvalidArgumentError, UnsupportedModelError
from rushlight.integrations import fastembed as ours


def test_dense_embeddings(model) -> None:
    embedding = ours.TextEmbedding(FOLDER)
    assert inspect.isgenerator(embedding.embed(TEXTS))
    assert checks.equal(list(embedding.embed(TEXTS)), model.encode(TEXTS))
    assert checks.equal(list(embedding.embed(iter(MANY), batch_size=64, parallel=2)), model.encode(MANY))
    assert checks.equal(list(embedding.embed("a lamp")), model.encode(["a lamp"]))
    assert checks.equal(list(embedding.query_embed("a lamp")), model.encode_query(["a lamp"]))
    assert checks.equal(list(embedding.passage_embed(TEXTS)), model.encode_document(TEXTS))
    assert list(embedding.embed([])) == []
    assert embedding.embedding_size == model.embedding_dimension
    assert embedding.token_count(TEXTS) == sum(model.count_tokens(TEXTS))


def test_sparse_embeddings(sparse) -> None:
    embedding = ours.SparseTextEmbedding(model_name="unknown", specific_model_path=SPARSE)
    for found, expected in [
        (embedding.embed(TEXTS, batch_size=2), sparse.encode_document(TEXTS)),
        (embedding.passage_embed(TEXTS), sparse.encode_document(TEXTS)),
        (embedding.query_embed(TEXTS), sparse.encode_query(TEXTS)),
    ]:
        for row, other in zip(found, expected, strict=True):
            assert np.array_equal(row.as_object()["values"], other.values)
            assert np.array_equal(row.indices, other.indices)
            assert row.as_dict() == dict(zip(other.indices.tolist(), other.values.tolist(), strict=True))


def test_late_interaction_and_rerankers(reranker) -> None:
    vectors = MultiVectorModel(VECTORS)
    embedding = ours.LateInteractionTextEmbedding(VECTORS)
    for found, expected in [
        (embedding.embed(TEXTS, batch_size=2), vectors.encode_document(TEXTS)),
        (embedding.query_embed("a lamp"), vectors.encode_query(["a lamp"])),
    ]:
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert embedding.embedding_size == vectors.embedding_dimension
    scores = reranker.predict([("a lamp", text) for text in TEXTS], activation_fn="identity")
    encoder = ours.TextCrossEncoder(RERANKER)
    assert list(encoder.rerank("a lamp", TEXTS, batch_size=2)) == scores.tolist()
    assert list(encoder.rerank_pairs([("a lamp", text) for text in TEXTS])) == scores.tolist()
    assert list(encoder.rerank("a lamp", [])) == []


def test_arguments() -> None:
    threads = get_num_threads()
    try:
        embedding = ours.TextEmbedding(FOLDER, None, 1, providers=["CPUExecutionProvider"], lazy_load=True)
        assert get_num_threads() == 1
    finally:
        set_num_threads(threads)
    assert embedding.model.device == "cpu"
    with pytest.raises(UnsupportedModelError, match="Qdrant/bm25: rushlight has no such model"):
        ours.SparseTextEmbedding("Qdrant/bm25")
    with pytest.raises(InvalidArgumentError, match="no_such: unknown option"):
        ours.TextEmbedding(FOLDER, no_such=1)


@pytest.mark.parametrize("name", ["TextEmbedding", "SparseTextEmbedding", "LateInteractionTextEmbedding"])
def test_fastembeds_methods_are_there_with_its_first_arguments(name: str) -> None:
    theirs = getattr(pytest.importorskip("fastembed"), name)
    for method in ("__init__", "embed", "query_embed", "passage_embed", "token_count"):
        if hasattr(theirs, method):
            expected = list(inspect.signature(getattr(theirs, method)).parameters)[:2]
            assert list(inspect.signature(getattr(getattr(ours, name), method)).parameters)[:2] == expected, method


def test_every_model_of_fastembed_is_known_or_an_original() -> None:
    theirs = pytest.importorskip("fastembed")
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    kinds = (theirs.TextEmbedding, theirs.SparseTextEmbedding, theirs.LateInteractionTextEmbedding, TextCrossEncoder)
    names = {model["model"] for kind in kinds for model in kind.list_supported_models()}
    conversions = {name for name in names if name.partition("/")[0].lower() in {"qdrant", "xenova"}}
    assert conversions <= {*ours._ORIGINALS, *ours._NONE}


def test_the_name_of_a_conversion_loads_the_original(monkeypatch) -> None:
    case = real("all-MiniLM-L6-v2")
    monkeypatch.setitem(ours._ORIGINALS, "qdrant/all-MiniLM-L6-v2-onnx", case.model)
    embedding = ours.TextEmbedding("qdrant/all-MiniLM-L6-v2-onnx")
    assert np.abs(np.stack(list(embedding.embed(case.texts[:3]))) - case.expected[:3]).max() < 1e-5
