"""Folders of another kind of model: `rushlight.compat` converts them as sentence-transformers does."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model, MultiVectorModel, Reranker, SparseModel
from rushlight.compat import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from rushlight.exceptions import ModelNotFoundError, UnsupportedModelError

TEXTS = ["one text", "another, longer text than that", "a"]
PAIRS = [("a query", "a document"), ("a query", "another document, a longer one")]
KINDS = {
    "SentenceTransformer": tiny("bert-cls-normalize-prompts").model,
    "CrossEncoder": DATA / "rerank" / "rerank-bert" / "model",
    "SparseEncoder": DATA / "sparse" / "splade-bert-max" / "model",
    "MultiVectorEncoder": DATA / "multi_vector" / "multivector-native-bert" / "model",
    "ColBERT": DATA / "multi_vector" / "multivector-pylate-bert" / "model",
}
NATIVE = {
    "SentenceTransformer": Model,
    "CrossEncoder": Reranker,
    "SparseEncoder": SparseModel,
    "MultiVectorEncoder": MultiVectorModel,
}


def plain(folder: Path, to: Path) -> Path:
    """Copy a folder without the files that name its kind and list its modules."""
    shutil.copytree(folder, to)
    for name in ("modules.json", "config_sentence_transformers.json"):
        (to / name).unlink()
    return to


def retyped(folder: Path, to: Path, kind: str | None) -> Path:
    """Copy a folder, and name another kind."""
    shutil.copytree(folder, to)
    path = to / "config_sentence_transformers.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "model_type": kind}), encoding="utf-8")
    return to


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder", "MultiVectorEncoder", "ColBERT"])
def test_other_kinds_become_sentence_models(kind, tmp_path, caplog):
    folder = KINDS[kind]
    model = SentenceTransformer(folder)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"Converting {kind} model {folder} to SentenceTransformer"
    ]
    expected = SentenceTransformer(plain(folder, tmp_path / "plain")).encode(TEXTS)
    assert np.array_equal(model.encode(TEXTS), expected)
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"]
    assert (model.prompts, model.default_prompt_name) == ({"query": "", "document": ""}, None)
    assert model.similarity_fn_name == "cosine"
    assert SentenceTransformer(folder, prompts={"query": "q: "}).prompts["query"] == "q: "
    assert SentenceTransformer(folder, similarity_fn_name="dot").similarity_fn_name == "dot"
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(same.encode(TEXTS), expected)
    model.save_pretrained(tmp_path / "saved")
    assert np.array_equal(Model(tmp_path / "saved").encode(TEXTS), expected)


def test_a_model_with_dense_modules_becomes_a_multi_vector_model(tmp_path):
    folder = tiny("bert-cls-dense-normalize").model
    model = MultiVectorEncoder(folder)
    assert [type(module).__name__ for module in model] == ["Transformer", "Dense", "MultiVectorMask", "Normalize"]
    assert (model.similarity_fn_name, model.prompts) == ("maxsim", SentenceTransformer(folder).prompts)
    sentences = Model(folder)
    weights = sentences.encode(TEXTS, output_value="token_embeddings")
    found = model.encode_document(TEXTS, convert_to_numpy=True)
    for tokens, vectors in zip(weights, found, strict=True):
        assert vectors.shape == (len(tokens), sentences.embedding_dimension)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    # The model pools the first token before its Dense module.
    assert [row[0] for row in found] == [pytest.approx(row, abs=1e-6) for row in sentences.encode(TEXTS)]
    untyped = retyped(folder, tmp_path / "untyped", None)
    assert np.array_equal(MultiVectorEncoder(untyped).encode(TEXTS[0]), model.encode(TEXTS[0]))
    model.save_pretrained(tmp_path / "saved")
    again = MultiVectorModel(tmp_path / "saved").encode_document(TEXTS)
    assert all(map(np.array_equal, again, found))


def test_a_causal_sentence_model_becomes_a_reranker(tmp_path):
    folder = DATA / "rerank" / "rerank-qwen3-causal" / "model"
    sentences = retyped(folder, tmp_path / "sentences", "SentenceTransformer")
    expected = CrossEncoder(plain(folder, tmp_path / "plain")).predict(PAIRS)
    model = CrossEncoder(sentences)
    assert np.array_equal(model.predict(PAIRS), expected)
    assert [type(module).__name__ for module in model] == ["Transformer", "LogitScore"]


@pytest.mark.parametrize("to", NATIVE)
@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_by_all_classes(kind, to):
    """Rushlight's own classes name the right one. compat refuses what would be random, and says so."""
    own = kind == to or (kind, to) == ("ColBERT", "MultiVectorEncoder")
    if own:
        NATIVE[to](KINDS[kind])
        return
    with pytest.raises(UnsupportedModelError, match=rf"model_type \"{kind}\" .*this folder is for \w+\)"):
        NATIVE[to](KINDS[kind])
    cls = {each.__name__: each for each in (SentenceTransformer, CrossEncoder, SparseEncoder, MultiVectorEncoder)}[to]
    if to == "SentenceTransformer":
        cls(KINDS[kind])
        return
    said = (
        f"sentence-transformers would convert the {kind}, with modules that are not trained: train it there as a {to}"
    )
    with pytest.raises(UnsupportedModelError, match=said):
        cls(KINDS[kind])


def test_an_older_folder_is_one_of_sentences(tmp_path):
    """It names no kind; a missing head is named with its reason."""
    folder = retyped(KINDS["SentenceTransformer"], tmp_path / "untyped", None)
    for cls in (CrossEncoder, SparseEncoder, MultiVectorEncoder):
        with pytest.raises(UnsupportedModelError, match="would convert the SentenceTransformer"):
            cls(folder)


def test_a_router_has_no_transformer_of_its_own():
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        SentenceTransformer(DATA / "sparse" / "splade-router-static-query" / "model")
