"""Models that are put together: a transformer, and other modules than its folder lists."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cases import tiny

from rushlight import Model
from rushlight.exceptions import InvalidArgumentError, ModelFormatError, ModelNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = tiny("bert-mean-normalize").model
DENSE = tiny("bert-cls-dense-normalize").model / "2_Dense"
TEXTS = ["The weather is lovely today.", "A small lamp lights the room."]


def test_the_modules_of_a_folder_make_the_folders_model() -> None:
    model = Model.from_backbone(FOLDER, normalize=True)
    np.testing.assert_array_equal(model.encode(TEXTS), Model(FOLDER).encode(TEXTS))


def test_modules_are_as_asked_for() -> None:
    width = Model(FOLDER).embedding_dimension
    model = Model.from_backbone(str(FOLDER), pooling=["cls", "lasttoken"], max_seq_length=6)
    assert model.embedding_dimension == 2 * width
    assert model.max_seq_length == 6
    tokens = model.encode(TEXTS, output_value="token_embeddings")
    for row, of_text in zip(model.encode(TEXTS), tokens, strict=True):
        np.testing.assert_array_equal(row, np.concatenate([of_text[0], of_text[-1]]))
    dense = Model.from_backbone(FOLDER, pooling="cls", dense=DENSE, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(dense.encode(TEXTS), axis=1), 1, rtol=1e-6)
    bare = Model.from_backbone(FOLDER, pooling="cls", normalize=True)
    assert not np.allclose(dense.encode(TEXTS), bare.encode(TEXTS))


def test_copies_pickles_and_saved_folders_are_the_same_model(tmp_path: Path) -> None:
    model = Model.from_backbone(FOLDER, pooling=("max", "cls"), num_hidden_layers=1)
    expected = model.encode(TEXTS)
    assert not np.array_equal(expected, Model.from_backbone(FOLDER, pooling=["max", "cls"]).encode(TEXTS))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).encode(TEXTS), expected)
    model.save_pretrained(tmp_path)
    np.testing.assert_array_equal(Model(tmp_path).encode(TEXTS), expected)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"pooling": "sum"}, "cls, max, mean"),
        ({"pooling": []}, "pooling"),
        ({"pooling": [None]}, "pooling"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": 99}, "num_hidden_layers"),
        ({"max_seq_length": 0}, "max_seq_length"),
        ({"dense": 3}, "dense"),
        ({"dense": [3]}, "dense"),
        ({"pooling": 3}, "pooling"),
    ],
)
def test_what_cant_be_is_refused(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidArgumentError, match=word):
        Model.from_backbone(FOLDER, **arguments)  # type: ignore[arg-type]


def test_files_that_dont_fit_are_named() -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        Model.from_backbone(FOLDER, dense="nowhere")
    with pytest.raises(ModelFormatError, match="in_features"):
        Model.from_backbone(FOLDER, pooling=["max", "cls"], dense=DENSE)
