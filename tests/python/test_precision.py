"""Tests of lower precision on a CPU, as callers see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import other, tiny

import rushlight
from rushlight import Model, Reranker
from rushlight.compat import SentenceTransformer
from rushlight.exceptions import DeviceError

CASE = tiny("bert-mean-normalize")


@pytest.mark.parametrize(("dtype", "least"), [("bfloat16", 0.9995), ("int8", 0.99)])
def test_embeddings_are_float32_close_to_the_reference_and_the_same_in_any_call(dtype: str, least: float) -> None:
    model = Model(CASE.model, device="cpu", dtype=dtype)
    assert model.dtype == dtype
    embeddings = model.encode(CASE.texts)
    assert embeddings.dtype == np.float32
    cosines = (embeddings * CASE.expected).sum(axis=1)
    assert least < cosines.min() < 1 - 1e-9
    alone = np.stack([model.encode(text) for text in CASE.texts])
    assert np.array_equal(alone, embeddings)


def test_none_is_float32() -> None:
    assert Model(CASE.model, device="cpu").dtype == "float32"


def test_a_saved_model_keeps_its_weights_and_quantizes_again(tmp_path: Path) -> None:
    model = Model(CASE.model, device="cpu", dtype="int8")
    model.save_pretrained(tmp_path / "saved")
    again = Model(tmp_path / "saved", device="cpu", dtype="int8")
    assert np.array_equal(again.encode(CASE.texts), model.encode(CASE.texts))
    exact = Model(tmp_path / "saved", device="cpu").encode(CASE.texts)
    assert np.abs(exact - CASE.expected).max() < CASE.tolerance


def test_rerankers_and_compat_take_it() -> None:
    reranker = Reranker(other("rerank")[0] / "model", device="cpu", dtype="int8")
    assert reranker.dtype == "int8"
    assert np.isfinite(reranker.predict([("a lamp", "lights the room")])).all()
    model = SentenceTransformer(str(CASE.model), device="cpu", model_kwargs={"torch_dtype": "bfloat16"})
    assert np.abs(model.encode(CASE.texts) - CASE.expected).max() < 0.01


def test_float16_is_refused_by_name() -> None:
    with pytest.raises(DeviceError, match="computes in dtype float32, bfloat16 or int8, got float16"):
        Model(CASE.model, device="cpu", dtype="float16")


@pytest.mark.parametrize("name", rushlight.info()["instruction_sets"])
def test_every_instruction_set_computes_int8(name: str, tmp_path: Path) -> None:
    program = (
        "import sys, numpy; from rushlight import Model; model = Model(sys.argv[1], device='cpu', dtype='int8');"
        "numpy.save(sys.argv[2], model.encode('A lamp lights the room.'))"
    )
    command = [sys.executable, "-c", program, str(CASE.model), str(tmp_path / "embedding.npy")]
    subprocess.run(command, env={**os.environ, "RUSHLIGHT_CPU": name}, check=True)
    exact = Model(CASE.model, device="cpu").encode("A lamp lights the room.")
    assert np.load(tmp_path / "embedding.npy") @ exact > 0.99
