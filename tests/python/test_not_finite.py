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


def broken(case: str, tmp_path: Path, number: float) -> Path:
    """A small model in which one token's vector has one number that isn't finite."""
    source = DATA / case / "model"
    folder = tmp_path / "model"
    shutil.copytree(source, folder)
    (tokenizer,) = folder.rglob("tokenizer.json")
    token = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"][BAD]
    (weights,) = [path for path in folder.rglob("model.safetensors") if path.parent == tokenizer.parent]
    data = bytearray(weights.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    tensors = json.loads(data[8 : 8 + length])
    names = ("word_embeddings.weight", "embedding.weight")
    (table,) = [tensors[name] for name in tensors if name.endswith(names) and tensors[name]["shape"][0] > token]
    row = 8 + length + table["data_offsets"][0] + 4 * token * table["shape"][1]
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
        ("sparse/splade-bert-max", lambda folder, texts: SparseModel(folder).encode(texts)),
        ("multi_vector/multivector-native-bert", lambda folder, texts: MultiVectorModel(folder).encode_document(texts)),
    ],
)
def test_the_input_is_named(case: str, encode, number: float, tmp_path: Path) -> None:
    folder = broken(case, tmp_path, number)
    texts = [GOOD, "a", GOOD, "the", "a a", BAD, "the the", f"{GOOD} {BAD}", BAD]
    with pytest.raises(InferenceError, match=r"inputs\[5\]: the result is not finite"):
        encode(folder, texts)
    encode(folder, texts[:5])


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
