"""Loading, settings, copying, saving, closing."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import TINY, tiny

import rushlight
from rushlight import Model, exceptions
from rushlight.exceptions import (
    DeviceError,
    InferenceError,
    InvalidArgumentError,
    InvalidInputError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
)

FOLDER = tiny("bert-mean-normalize").model
TEXTS = ["one text", "another"]


def state(model: Model) -> tuple:
    return (
        model.prompts,
        model.default_prompt_name,
        model.similarity_fn_name,
        model.truncate_dim,
        model.max_seq_length,
        model.encode(TEXTS).tobytes(),
    )


@pytest.fixture
def changed() -> Model:
    return Model(
        FOLDER,
        prompts={"new": "new: "},
        default_prompt_name="new",
        similarity_fn_name="euclidean",
        truncate_dim=9,
        max_seq_length=20,
    )


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_the_same_state_of_their_own(changed: Model, duplicate) -> None:
    other = duplicate(changed)
    assert state(other) == state(changed)
    before = state(changed)
    other.max_seq_length = 3
    other.prompts["new"] = "x"
    other.truncate_dim = None
    assert state(changed) == before


class Labelled(Model):
    """A model with something of its own."""

    label = "none"


def test_a_pickle_keeps_what_a_subclass_adds() -> None:
    model = Labelled(FOLDER, prompts={"new": "new: "})
    model.label = "mine"
    other = pickle.loads(pickle.dumps(model))
    assert type(other) is Labelled
    assert other.label == "mine"
    assert state(other) == state(model)


@pytest.mark.parametrize("name", TINY)
def test_a_saved_model_is_the_same(name: str, tmp_path: Path) -> None:
    model = Model(tiny(name).model, prompts={"new": "new: "}, default_prompt_name="new")
    model.save_pretrained(tmp_path / "saved")
    assert state(Model(tmp_path / "saved")) == state(model)
    modules = json.loads((tmp_path / "saved" / "modules.json").read_text())
    settings = tmp_path / "saved" / "sentence_bert_config.json"
    if name.startswith("static"):
        assert modules[0]["type"] == "sentence_transformers.models.StaticEmbedding"
        assert not settings.exists()
    else:
        # The published code of Jina v3 strips texts, so its name stays.
        # Older versions know CLIP by a class of its own.
        classes = {
            "jina-v3-lora": "custom_st.Transformer",
            "clip-legacy-module": "sentence_transformers.models.CLIPModel",
        }
        assert modules[0]["type"] == classes.get(name, "sentence_transformers.models.Transformer")
        settings = tmp_path / "saved" / modules[0]["path"] / "sentence_bert_config.json"
        saved = json.loads(settings.read_text())
        # A model with a chat template says what becomes a message, one of images what embeds them; settings of the
        # old form mean plain text.
        if "modality_config" not in saved:
            assert saved == {"max_seq_length": model.max_seq_length, "do_lower_case": False}
        assert ("modality_config" in saved) == ("chat-template" in name or "image" in model.modalities)


def test_saving_keeps_all_settings(changed: Model, tmp_path: Path) -> None:
    changed.save(tmp_path)
    assert state(Model(tmp_path)) == state(changed)


def test_a_closed_model_says_so() -> None:
    with Model(FOLDER) as model:
        assert "embedding_dimension=32" in repr(model)
        assert "device='cpu'" in repr(model)
    assert repr(model) == "Model(closed)"
    for call in (
        lambda: model.encode("a"),
        lambda: model.similarity([1.0], [1.0]),
        lambda: model.similarity_pairwise([1.0], [1.0]),
        lambda: model.device,
        lambda: model.save("x"),
        lambda: pickle.dumps(model),
    ):
        with pytest.raises(InferenceError, match="closed"):
            call()


def test_settings_are_checked(model: Model) -> None:
    for wrong in (0, -1, 141, "8", 2**80, 1.5, None):
        with pytest.raises(InvalidArgumentError, match="max_seq_length"):
            model.max_seq_length = wrong
    model.max_seq_length = 140
    assert model.max_seq_length == 140
    with pytest.raises(InvalidArgumentError, match="'manhattan'"):
        model.similarity_fn_name = "hamming"
    assert model.device == "cpu"


def test_the_best_device_is_chosen_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rushlight"):
        model = Model(tiny("bert-mean-normalize").model)
    assert [record.message for record in caplog.records] == [f"device: {model.device}"]
    assert model.device == rushlight.info()["devices"][0]
    assert model.dtype == "float32"
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="rushlight"):
        model = Model(tiny("bert-mean-normalize").model, device="cpu", dtype="float32")
    assert not caplog.records
    assert pickle.loads(pickle.dumps(model)).device == "cpu"


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"device": "cuda"}, DeviceError, "not in this build"),
        ({"device": "mps"}, DeviceError, "not in this build"),
        ({"device": "abacus"}, InvalidArgumentError, "cuda:N"),
        ({"dtype": "float16"}, DeviceError, "float32"),
        ({"max_seq_length": 0}, InvalidArgumentError, "max_seq_length"),
        ({"max_seq_length": 141}, InvalidArgumentError, "140"),
        ({"truncate_dim": 0}, InvalidArgumentError, "truncate_dim"),
        ({"default_prompt_name": "unknown"}, InvalidArgumentError, '"query"'),
        ({"default_prompt_name": 3}, InvalidArgumentError, "default_prompt_name"),
        ({"device": 3}, InvalidArgumentError, "device"),
        ({"device": ""}, InvalidArgumentError, "device"),
        ({"revision": 3}, InvalidArgumentError, "revision"),
        ({"cache_folder": 3}, InvalidArgumentError, "cache_folder"),
        ({"prompts": 3}, InvalidArgumentError, "prompts"),
        ({"prompts": {"\ud800": "x"}}, InvalidArgumentError, "surrogate"),
        ({"dtype": np.float16}, InvalidArgumentError, "dtype"),
        ({"similarity_fn_name": "unknown"}, InvalidArgumentError, "'dot'"),
        ({"prompts": {"a": None}}, InvalidArgumentError, "prompts"),
    ],
)
def test_arguments_of_the_constructor(options: dict, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        Model(FOLDER, **options)


def test_the_constructors_prompts_win_over_the_configs(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "model")
    settings = {"prompts": {"query": None, "a": "a: "}, "default_prompt_name": "x"}
    (tmp_path / "model" / "config_sentence_transformers.json").write_text(json.dumps(settings))
    with pytest.raises(ModelFormatError, match=r"(?s)config_sentence_transformers.*default_prompt_name"):
        Model(tmp_path / "model")
    assert Model(tmp_path / "model", prompts={"x": "x: "}).default_prompt_name == "x"
    model = Model(tmp_path / "model", default_prompt_name="a")
    assert model.default_prompt_name == "a"
    assert model.prompts["query"] == ""


def test_odd_arguments_of_other_calls(model: Model, tmp_path: Path) -> None:
    for wrong in ([-1], ["a"], [5.7], "12", [2**40], None, 3, np.array([[1, 2]]), np.array([1.5])):
        with pytest.raises(InvalidArgumentError, match="ids"):
            model.tokenizer.decode(wrong)
    for wrong in (-1, 0, "2", None):
        with pytest.raises(InvalidArgumentError, match="n:"):
            rushlight.set_num_threads(wrong)
    with pytest.raises(InvalidArgumentError, match="path"):
        model.save(None)
    for wrong in (3, b"bytes", "", "a\0b"):
        with pytest.raises(InvalidArgumentError, match="path"):
            model.save(wrong)
        with pytest.raises(InvalidArgumentError, match="cache_folder"):
            Model("x", cache_folder=wrong)
    with pytest.raises(ModelNotFoundError):
        Model("x" * 10_000)
    model.prompts["query"] = 3
    with pytest.raises(InvalidArgumentError, match="prompts"):
        model.encode("a", prompt_name="query")
    with pytest.raises(InvalidArgumentError, match="prompts"):
        model.save(tmp_path)
    for wrong in (None, b"bytes", ["a"], "\ud800"):
        with pytest.raises(InvalidInputError, match="text:"):
            model.tokenizer.encode(wrong)
    for wrong in (None, "a", [None], ["\ud800"]):
        with pytest.raises(InvalidInputError, match="texts"):
            model.tokenize(wrong)


@pytest.mark.skipif(sys.platform == "win32", reason="any str is a path there")
@pytest.mark.parametrize("wrong", ["\ud800", "org/\ud800", Path("\ud800"), "~no such user~/model"])
def test_paths_that_none_can_be(model: Model, wrong) -> None:
    for call, argument in (
        (Model, "model_name_or_path"),
        (lambda path: Model("x", cache_folder=path), "cache_folder"),
        (model.save, "path"),
    ):
        with pytest.raises(InvalidArgumentError, match=argument):
            call(wrong)


def test_unknown_keywords() -> None:
    with pytest.raises(TypeError):
        Model(FOLDER, backend="onnx")


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", "", "a\0b"])
def test_names_that_are_none(wrong) -> None:
    with pytest.raises(InvalidArgumentError, match="model_name_or_path"):
        Model(wrong)


def test_a_file_is_not_a_model() -> None:
    with pytest.raises(InvalidArgumentError, match="is a file"):
        Model(FOLDER / "config.json")


def test_errors_name_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UnsupportedModelError, match=r"(?s)config\.json.*gpt2.*xlm-roberta"):
        Model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelFormatError, match=r"config\.json"):
        Model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        Model(folder)


def test_every_error_has_two_bases() -> None:
    bases = {
        "InvalidArgumentError": ValueError,
        "InvalidInputError": TypeError,
        "ModelNotFoundError": FileNotFoundError,
        "ModelFormatError": ValueError,
        "UnsupportedFeatureError": NotImplementedError,
        "UnsupportedModelError": NotImplementedError,
        "DownloadError": OSError,
        "DeviceError": RuntimeError,
        "MissingDependencyError": ImportError,
        "OutOfMemoryError": MemoryError,
        "InferenceError": RuntimeError,
    }
    assert set(exceptions.__all__) == {*bases, "RushlightError"}
    for name, base in bases.items():
        error = getattr(exceptions, name)
        assert issubclass(error, exceptions.RushlightError)
        assert issubclass(error, base)
        assert str(error("the message")) == "the message"


def test_a_folder_without_modules_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FOLDER / name, tmp_path / name)
    model = Model(tmp_path)
    assert "no modules.json" in caplog.text
    assert model.encode("a").shape == (32,)


def test_threads_are_counted() -> None:
    before = rushlight.get_num_threads()
    try:
        rushlight.set_num_threads(3)
        assert rushlight.get_num_threads() == rushlight.info()["num_threads"] == 3
        with pytest.raises(InvalidArgumentError, match="at least 1"):
            rushlight.set_num_threads(0)
    finally:
        rushlight.set_num_threads(before)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_the_environment_sets_threads_and_instruction_set() -> None:
    code = "import rushlight; print(rushlight.info()['num_threads'], rushlight.info()['instruction_set'])"
    assert run(code, RUSHLIGHT_NUM_THREADS="3", RUSHLIGHT_CPU="scalar").stdout == "3 scalar\n"
    for name, wrong in [("RUSHLIGHT_NUM_THREADS", "many"), ("RUSHLIGHT_NUM_THREADS", "0"), ("RUSHLIGHT_CPU", "z80")]:
        failed = run(code, **{name: wrong})
        assert "InvalidArgumentError" in failed.stderr
        assert name in failed.stderr


@pytest.mark.parametrize("name", rushlight.info()["instruction_sets"])
def test_every_instruction_set_gives_the_numbers(name: str) -> None:
    case = tiny("mpnet-mean-normalize")
    code = f"""
import json, numpy, rushlight
texts = json.load(open({str(case.folder / "texts.json")!r}, encoding="utf-8"))
expected = numpy.load({str(case.folder / "expected64.npy")!r})
error = abs(rushlight.Model({str(case.model)!r}).encode(texts) - expected).max()
print(rushlight.info()["instruction_set"], error < 1e-5)
"""
    done = run(code, RUSHLIGHT_CPU=name)
    assert done.stdout == f"{name} True\n", done.stderr


def test_importing_is_light() -> None:
    code = """
import sys, logging
import rushlight
heavy = {"tqdm", "torch", "importlib.metadata", "asyncio", "unittest", "pydoc"} & set(sys.modules)
print(sorted(heavy), logging.getLogger("rushlight").handlers)
"""
    done = run(code)
    assert done.stdout == "[] []\n", done.stderr
    assert done.stderr == ""
