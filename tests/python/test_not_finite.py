"""Results that aren't finite are errors that name the input, never vectors."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from cases import DATA

from rushlight import Model, MultiVectorModel, Reranker, SparseModel, util
from rushlight.exceptions import InferenceError

BAD = "is"  # the token whose vector has the number
GOOD = "the a"
BERT = "tiny/bert-mean-normalize"


def broken(case: str, tmp_path: Path, number: float, *names: str, entry: int | None = None) -> Path:
    """A small model in which a table's vector of BAD, or of another entry, has a number that isn't finite."""
    folder = tmp_path / "model"
    shutil.copytree(DATA / case / "model", folder)
    (tokenizer,) = folder.rglob("tokenizer.json")
    if entry is None:
        entry = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"][BAD]
    weights = tokenizer.with_name("model.safetensors")
    data = bytearray(weights.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    tensors = json.loads(data[8 : 8 + length])
    names = names or ("word_embeddings.weight", "embedding.weight")
    (table,) = [tensors[name] for name in tensors if name.endswith(names)]
    row = 8 + length + table["data_offsets"][0] + 4 * entry * table["shape"][1]
    data[row : row + 4] = struct.pack("<f", number)
    weights.write_bytes(data)
    return folder


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("case", "encode"),
    [
        (BERT, lambda folder, texts: Model(folder).encode(texts)),
        ("tiny/bert-cased-max", lambda folder, texts: Model(folder).encode(texts)),
        ("tiny/static-embedding", lambda folder, texts: Model(folder).encode(texts)),
        (BERT, lambda folder, texts: Model(folder).encode(texts, output_value="token_embeddings")),
        (BERT, lambda folder, texts: Model(folder).encode(texts, precision="ubinary")),
        (BERT, lambda folder, texts: Model(folder).encode(texts, device=["cpu"] * 2, chunk_size=2)),
        (BERT, lambda folder, texts: list(Model(folder).encode_iter(texts, chunk_size=2))),
        ("rerank/rerank-bert", lambda folder, texts: Reranker(folder).predict([("a", text) for text in texts])),
        ("multi_vector/multivector-native-bert", lambda folder, texts: MultiVectorModel(folder).encode_document(texts)),
    ],
)
def test_the_input_is_named(case: str, encode, number: float, tmp_path: Path) -> None:
    folder = broken(case, tmp_path, number)
    texts = [GOOD, "a", GOOD, "the", "a a", BAD, "the the", f"{GOOD} {BAD}", BAD]
    with pytest.raises(InferenceError, match=r"inputs\[5\]: the result is not finite"):
        encode(folder, texts)
    encode(folder, texts[:5])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", ["splade-bert-max", "splade-distilbert-sum"])
def test_the_input_is_named_by_sparse_models(case: str, number: float, tmp_path: Path) -> None:
    # Not the tokens' table: it is the output layer's, too, and so of all texts.
    model = SparseModel(broken(f"sparse/{case}", tmp_path, number, "position_embeddings.weight", entry=6))
    with pytest.raises(InferenceError, match=r"inputs\[2\]: the result is not finite"):
        model.encode([GOOD, "a", "the " * 10, "a " * 10])
    assert len(model.encode([GOOD, "a"])) == 2


def test_a_row_with_nan_is_all_nan_when_it_is_normalized() -> None:
    rows = util.normalize_embeddings(np.array([[np.nan, 1, 1], [3, 4, 0], [0, 0, 0]], np.float32))
    assert np.isnan(rows[0]).all()
    np.testing.assert_allclose(rows[1:], [[0.6, 0.8, 0], [0, 0, 0]], rtol=1e-6)


def test_similarities_with_nan_are_nan_and_the_others_numbers() -> None:
    a = np.array([[np.nan, 1], [3, 4]], np.float32)
    for name in ("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"):
        scores = np.asarray(getattr(util, name)(a, a))
        assert np.isnan(scores).tolist() == [[True, True], [True, False]], name


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_rows_that_spoil_levels_are_named(precision: str, number: float) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    rows[7, 3] = number
    with pytest.raises(ValueError, match="embeddings: must be finite, row 7 is not"):
        util.quantize_embeddings(rows, precision)
