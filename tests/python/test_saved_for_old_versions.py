"""Saved folders in versions 3 to 5 of sentence-transformers, where one of them is installed: the same numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, other, router

from rushlight import Model, Reranker, SparseModel

theirs = pytest.importorskip("sentence_transformers")
transformers = pytest.importorskip("transformers")

VERSION = int(theirs.__version__.split(".")[0])
pytestmark = [
    pytest.mark.skipif(VERSION > 5, reason="it is a new version"),
    pytest.mark.filterwarnings("ignore"),  # of torch's and transformers' own
]

TEXTS = ["one text", "another, longer text than that", "x"]
# What they read otherwise, and why.
DIFFERENT = {
    "bert-truncate-dim": "they don't read truncate_dim",
    "static-model2vec": "they don't read model2vec's mapping",
}


def cases(kind: str) -> list[Path]:
    return [folder for folder in other(kind) if folder.name not in DIFFERENT]


def check_known(folder: Path) -> None:
    """Skip architectures that the installed transformers lacks."""
    config = folder / "model/config.json"
    name = json.loads(config.read_text()).get("model_type") if config.exists() else None
    if name not in {None, "model2vec", *transformers.CONFIG_MAPPING}:
        pytest.skip(f"transformers {transformers.__version__} has no {name}")


def close(ours: object, others: object) -> None:
    ours, others = np.asarray(ours), np.asarray(others)
    assert ours.shape == others.shape
    assert np.abs(ours - others).max() <= 2e-5 * max(1, np.abs(ours).max())


@pytest.mark.parametrize("case", cases("tiny"), ids=lambda case: case.name)
def test_sentence_models(case: Path, tmp_path: Path) -> None:
    check_known(case)
    model = Model(case / "model", max_seq_length=9, prompts={"new": "new: "}, similarity_fn_name="dot")
    model.save(tmp_path)
    loaded = theirs.SentenceTransformer(str(tmp_path), device="cpu")
    close(model.encode(TEXTS, prompt_name="new"), loaded.encode(TEXTS, prompt_name="new"))
    assert loaded.similarity_fn_name == "dot"


@pytest.mark.parametrize("name", ["qwen3-lasttoken-normalize", "modernbert-mean"])
def test_other_angles_than_their_default(name: str, tmp_path: Path) -> None:
    shutil.copytree(DATA / "tiny" / name / "model", tmp_path / "other")
    config = json.loads((tmp_path / "other/config.json").read_text())
    angles = config["rope_parameters"]
    for parameters in [angles] if "rope_theta" in angles else angles.values():
        parameters["rope_theta"] /= 200
    (tmp_path / "other/config.json").write_text(json.dumps(config))
    model = Model(tmp_path / "other")
    model.save(tmp_path / "saved")
    close(model.encode(TEXTS), theirs.SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS))


@pytest.mark.parametrize("case", cases("rerank"), ids=lambda case: case.name)
def test_rerankers(case: Path, tmp_path: Path) -> None:
    check_known(case)
    model = Reranker(case / "model", max_length=9)
    model.activation_fn = "identity" if model.num_labels == 1 else "softmax"
    model.save(tmp_path)
    pairs = [("a query", "a document that is much longer than nine tokens"), ("b", "c d")]
    close(model.predict(pairs), theirs.CrossEncoder(str(tmp_path), device="cpu").predict(pairs))


@pytest.mark.skipif(VERSION < 5, reason="it has no SparseEncoder")
@pytest.mark.parametrize("case", cases("sparse"), ids=lambda case: case.name)
def test_sparse_models(case: Path, tmp_path: Path) -> None:
    model = SparseModel(case / "model", max_seq_length=9, similarity_fn_name="cosine")
    model.save(tmp_path)
    loaded = theirs.SparseEncoder(str(tmp_path), device="cpu")
    for method in ("encode_query", "encode_document", "encode"):
        close(getattr(model, method)(TEXTS).to_dense(), getattr(loaded, method)(TEXTS).to_dense())
    assert loaded.similarity_fn_name == "cosine"


@pytest.mark.skipif(VERSION < 5, reason="it has no Router")
def test_routers(tmp_path: Path) -> None:
    folder = router(tmp_path / "router", {"query": "bert-mean-normalize", "document": "bert-cls-normalize-prompts"})
    model = Model(folder)
    model.save(tmp_path / "saved")
    loaded = theirs.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    for method in ("encode_query", "encode_document", "encode"):
        close(getattr(model, method)(TEXTS), getattr(loaded, method)(TEXTS))


def test_all_that_differs_is_there() -> None:
    assert set(DIFFERENT) < {folder.name for folder in (DATA / "tiny").iterdir()}
