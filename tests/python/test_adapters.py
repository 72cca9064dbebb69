"""Adapters of peft: folders, names, the base model's place, and pickling."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import tiny

from rushlight import Model, Reranker
from rushlight.compat import SentenceTransformer
from rushlight.exceptions import InvalidArgumentError, ModelNotFoundError, UnsupportedModelError

CASE = tiny("peft-bert-lora")
OTHER = tiny("peft-bert-dora-modules-to-save")


def copied(tmp_path: Path) -> Path:
    """Return a copy of the adapter's folder without its base model, which lies in the working directory."""
    folder = Path(shutil.copytree(CASE.model, tmp_path / "elsewhere/model"))
    shutil.move(folder / "base", tmp_path / "base")
    return folder


def test_several_adapters(tmp_path):
    model = Model(CASE.model, adapters={"other": OTHER.model})
    assert model.tasks == ["default", "other"]
    own = model.encode(CASE.texts)
    assert np.abs(own - CASE.expected).max() < 1e-5
    assert np.array_equal(model.encode(CASE.texts, task="default"), own)
    other = model.encode(CASE.texts, task="other")
    assert not np.array_equal(other, own)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.encode(CASE.texts, task="other"), other)
    assert np.array_equal(SentenceTransformer(str(CASE.model)).encode(CASE.texts), own)
    model.save_pretrained(tmp_path / "saved")
    assert np.array_equal(Model(tmp_path / "saved").encode(CASE.texts), own)


def test_a_relative_base_counts_from_the_working_directory(tmp_path, monkeypatch):
    folder = copied(tmp_path)
    with pytest.raises(ModelNotFoundError, match="base_model_name_or_path"):
        Model(folder, local_files_only=True)
    monkeypatch.chdir(tmp_path)
    model = Model(folder)
    monkeypatch.chdir(tmp_path.parent)
    assert np.abs(model.encode(CASE.texts) - CASE.expected).max() < 1e-5


def test_a_named_base_is_found_in_the_cache(tmp_path):
    folder, cache = copied(tmp_path), tmp_path / "cache"
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = cache / "models--org--base"
    shutil.copytree(tmp_path / "base", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "org/base"}))
    model = Model(folder, cache_folder=cache, local_files_only=True)
    assert np.abs(model.encode(CASE.texts) - CASE.expected).max() < 1e-5
    assert np.array_equal(pickle.loads(pickle.dumps(model)).encode("x"), model.encode("x"))


def test_bad_adapters(tmp_path):
    for adapters in ([str(CASE.model)], {1: CASE.model}, {"x": 3}):
        with pytest.raises(InvalidArgumentError, match="adapters"):
            Model(CASE.model, adapters=adapters)
    with pytest.raises(ModelNotFoundError, match=r"adapter_config\.json"):
        Model(CASE.model, adapters={"x": tiny("bert-mean-normalize").model})
    folder = Path(shutil.copytree(CASE.model, tmp_path / "model"))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))
    (folder / "tokenizer.json").unlink()
    for kind in (Model, Reranker):
        with pytest.raises(UnsupportedModelError, match="adapter's peft_type"):
            kind(folder)


def test_the_command_takes_adapters(command):
    given = f"other={OTHER.model}"
    done = command("encode", CASE.model, "--adapter", given, "--task", "other", stdin="a lamp\na light\n")
    assert (done.status, done.err) == (0, "")
    rows = np.array([json.loads(line)["embedding"] for line in done.out.splitlines()], np.float32)
    model = Model(CASE.model, adapters={"other": OTHER.model})
    assert np.array_equal(rows, model.encode(["a lamp", "a light"], task="other"))
    done = command("encode", CASE.model, "--adapter", "other", stdin="")
    assert done.status == 2
    assert "NAME=FOLDER" in done.err
