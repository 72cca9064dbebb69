"""Inputs and results of `encode`."""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
import time

import numpy as np
import pytest
from cases import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight import Model
from rushlight.exceptions import (
    DeviceError,
    InvalidArgumentError,
    InvalidInputError,
    MissingDependencyError,
    RushlightError,
)

TEXTS = ["one text", "another one", "", "ünïcödé 😀"]


def test_arrays_are_the_callers_own(model: Model) -> None:
    embeddings = model.encode(TEXTS)
    assert embeddings.shape == (4, 32)
    assert embeddings.dtype == np.float32
    assert embeddings.flags.c_contiguous
    assert embeddings.flags.writeable
    again = model.encode(TEXTS)
    embeddings[:] = 0
    assert np.abs(again).max() > 0


def test_a_single_text_is_a_vector(model: Model) -> None:
    vector = model.encode(TEXTS[0])
    assert vector.shape == (32,)
    assert (vector == model.encode(TEXTS)[0]).all()
    assert (model.encode(np.str_(TEXTS[0])) == vector).all()


@pytest.mark.parametrize("kind", [list, tuple, np.array, iter, lambda texts: (text for text in texts)])
def test_all_kinds_of_iterables_are_taken(model: Model, kind) -> None:
    assert (model.encode(kind(TEXTS)) == model.encode(TEXTS)).all()


def test_object_arrays_are_taken(model: Model) -> None:
    assert (model.encode(np.array(TEXTS, dtype=object)) == model.encode(TEXTS)).all()


class Table:
    """As those of pandas and polars: its items are the names of its columns."""

    shape = (3, 2)

    def __iter__(self):
        return iter(["text", "other"])


def test_nothing_gives_nothing(model: Model) -> None:
    for precision, width, dtype in [("float32", 32, "float32"), ("int8", 32, "int8"), ("ubinary", 4, "uint8")]:
        nothing = model.encode([], precision=precision)
        assert nothing.shape == (0, width)
        assert nothing.dtype == dtype
    assert model.encode([], output_value="token_embeddings") == []
    assert model.encode([], output_value=None) == []
    assert model.encode([], truncate_dim=5).shape == (0, 5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (None, ["NoneType"]),
        (3, ["int"]),
        (b"bytes", ["bytes"]),
        ({"a": 1}, ["dict"]),
        ({"a"}, ["set"]),
        (np.array([["a"]]), ["shape (1, 1)"]),
        (np.array([1, 2]), ["inputs[0]", "int"]),
        (["a", None], ["inputs[1]", "NoneType"]),
        (["a", b"b"], ["inputs[1]", "bytes"]),
        (Table(), ["Table of shape (3, 2)"]),
        ([["a"]], ["inputs[0]", "list"]),
        ([["a", "b", "c"]], ["inputs[0]", "list"]),
        ([["a", 3]], ["inputs[0]", "list"]),
        ([("a",)], ["inputs[0]", "tuple"]),
        ([("a", 3)], ["inputs[0]", "tuple"]),
        (["a", 1.5], ["inputs[1]", "float"]),
        (["a", "lone \ud800 surrogate"], ["inputs[1]", "surrogate"]),
        ("\udfff", ["inputs[0]", "surrogate"]),
    ],
)
def test_what_is_not_text_is_named(model: Model, wrong, words: list[str]) -> None:
    for call in (model.encode, model.encode_query, model.encode_document, model.count_tokens):
        with pytest.raises(InvalidInputError) as raised:
            call(wrong)
        assert all(word in str(raised.value) for word in words), raised.value
        assert isinstance(raised.value, (ValueError, TypeError, RushlightError))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, ["batch_size", "0"]),
        ({"batch_size": -3}, ["batch_size", "-3"]),
        ({"batch_size": "8"}, ["batch_size", "'8'"]),
        ({"precision": "int4"}, ["precision", "'ubinary'"]),
        ({"output_value": "tokens"}, ["output_value", "'token_embeddings'"]),
        ({"truncation": "maybe"}, ["truncation", "'warn'"]),
        ({"truncate_dim": 0}, ["truncate_dim", "0"]),
        ({"truncate_dim": -1}, ["truncate_dim", "-1"]),
        ({"prompt_name": "unknown"}, ["prompt_name", '"query"']),
        ({"prompt": 3}, ["prompt", "int"]),
        ({"prompt": "\ud800"}, ["prompt", "surrogate"]),
        ({"precision": "int8", "output_value": None}, ["precision", "int8"]),
        ({"precision": np.array(["int8", "a"])}, ["precision"]),
        ({"output_value": 3}, ["output_value"]),
    ],
)
def test_arguments_out_of_range_are_named(model: Model, options: dict, words: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        model.encode(["a"], **options)
    assert all(word in str(raised.value) for word in words), raised.value


def test_other_arguments(model: Model) -> None:
    with pytest.raises(TypeError):
        model.encode(["a"], unknown=1)
    with pytest.raises(DeviceError):
        model.encode(["a"], device="cuda")
    assert (model.encode(["a"], device="cpu") == model.encode(["a"])).all()
    for single in ("a", ["a"]):
        with pytest.raises(InvalidArgumentError, match="int8"):
            model.encode(single, precision="int8")


def test_pairs(model: Model) -> None:
    pair, listed, text = model.encode([("one", "two"), ["one", "two"], "one"])
    assert (pair != text).any()
    assert (pair == listed).all()
    assert model.encode(("one", "two")).shape == (2, 32)


def test_prompts(caplog: pytest.LogCaptureFixture) -> None:
    model = Model(tiny("bert-mean-normalize").model, prompts={"query": "q: ", "passage": "p: ", "other": "o: "})

    def with_prompt(prompt: str):
        return model.encode(["text"], prompt=prompt).tolist()

    assert with_prompt("q: ") == model.encode(["q: text"]).tolist()
    assert with_prompt("q: ") == model.encode_query(["text"]).tolist()
    assert with_prompt("p: ") == model.encode_document(["text"]).tolist()
    assert with_prompt("o: ") == model.encode_document(["text"], prompt_name="other").tolist()
    assert with_prompt("o: ") == model.encode_query(["text"], prompt="o: ").tolist()
    model.default_prompt_name = "other"
    assert with_prompt("o: ") == model.encode(["text"]).tolist()
    model.prompts["other"] = "changed: "
    assert with_prompt("changed: ") == model.encode(["text"]).tolist()
    with caplog.at_level(logging.WARNING, logger="rushlight"):
        assert with_prompt("q: ") == model.encode(["text"], prompt="q: ", prompt_name="other").tolist()
    assert "prompt_name is ignored" in caplog.text
    with pytest.raises(InvalidArgumentError, match="'query'"):
        model.default_prompt_name = "unknown"
    with pytest.raises(InvalidArgumentError, match="prompts"):
        model.prompts = {"a": 1}


def test_truncation_of_embeddings(model: Model) -> None:
    whole = model.encode(TEXTS)
    assert (model.encode(TEXTS, truncate_dim=7) == whole[:, :7]).all()
    assert (model.encode(TEXTS, truncate_dim=1000) == whole).all()
    with model.truncate_embeddings(5):
        assert model.embedding_dimension == 5
        assert (model.encode(TEXTS) == whole[:, :5]).all()
        assert (model.encode(TEXTS, truncate_dim=9) == whole[:, :9]).all()
    assert model.embedding_dimension == model.get_embedding_dimension() == 32
    model.truncate_dim = 6
    assert model.get_sentence_embedding_dimension() == 6
    unit = model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    with pytest.raises(InvalidArgumentError, match="truncate_dim"):
        model.truncate_dim = 0


def test_truncation_of_texts(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    long = "word " * 100
    with caplog.at_level(logging.WARNING, logger="rushlight"):
        model.encode(["short", long, long])
        assert not caplog.records
        model.encode(["short", long, long], truncation="warn")
        model.encode(["short", long, long], truncation="warn", output_value=None)
    record, other = caplog.records
    assert (
        record.getMessage()
        == other.getMessage()
        == f"2 of 3 texts were cut to 64 tokens; the longest has {model.count_tokens(long)}"
    )
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\].*64"):
        model.encode(["short", long], truncation="error")
    assert (model.encode(["short"], truncation="error") == model.encode(["short"])).all()


def test_token_embeddings(model: Model) -> None:
    tokens = model.encode(TEXTS, output_value="token_embeddings")
    assert [array.shape for array in tokens] == [(count, 32) for count in model.count_tokens(TEXTS)]
    assert all(array.dtype == np.float32 for array in tokens)
    assert (model.encode(TEXTS[0], output_value="token_embeddings") == tokens[0]).all()
    rows = model.encode(TEXTS, output_value=None)
    for row, array, sentence in zip(rows, tokens, model.encode(TEXTS), strict=True):
        assert set(row) == {"input_ids", "attention_mask", "token_embeddings", "sentence_embedding"}
        assert (row["token_embeddings"] == array).all()
        assert (row["sentence_embedding"] == sentence).all()
        assert row["input_ids"].dtype == row["attention_mask"].dtype == np.int64
        assert row["attention_mask"].tolist() == [1] * len(row["input_ids"])
    typed = Model(tiny("bert-typed-tokenizer").model)
    assert typed.encode("a", output_value=None)["token_type_ids"].tolist() == [0, 0, 0]


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
@pytest.mark.parametrize("options", [{"convert_to_tensor": True}, {"convert_to_numpy": False}])
def test_tensors_need_torch(model: Model, options: dict) -> None:
    with pytest.raises(MissingDependencyError, match="pip install torch"):
        model.encode(["a"], **options)


def test_tensors_share_the_arrays_memory(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensors:
        @staticmethod
        def from_numpy(array):
            return memoryview(array)

    monkeypatch.setitem(sys.modules, "torch", Tensors)
    tensor = model.encode(TEXTS, convert_to_tensor=True)
    assert np.asarray(tensor).tolist() == model.encode(TEXTS).tolist()
    assert model.encode("a", convert_to_tensor=True).shape == (32,)


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_a_text_has_the_same_bits_in_any_batch(texts: list[str], random) -> None:
    model = CACHE.setdefault("model", Model(tiny("xlm-roberta-mean").model))
    alone = {text: model.encode(text).tobytes() for text in texts}
    random.shuffle(texts)
    assert [row.tobytes() for row in model.encode(texts)] == [alone[text] for text in texts]


CACHE: dict[str, Model] = {}


def reference(embeddings: np.ndarray, precision: str) -> np.ndarray:
    """Quantization in plain numpy."""
    if precision in ("binary", "ubinary"):
        bits = np.packbits(embeddings > 0, axis=1)
        return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)
    low, high = embeddings.min(axis=0), embeddings.max(axis=0)
    step = ((high - low) / np.float32(255)).astype(np.float32)
    step[step == 0] = 1
    levels = np.clip(np.floor((embeddings - low) / step), 0, 255)
    return levels.astype(np.uint8) if precision == "uint8" else (levels - 128).astype(np.int8)


@given(
    st.lists(st.lists(st.floats(-100, 100, width=32), min_size=9, max_size=9), min_size=1, max_size=12),
    st.sampled_from(["int8", "uint8", "binary", "ubinary"]),
)
@settings(max_examples=150, deadline=None)
def test_quantization_is_that_of_plain_numpy(rows: list[list[float]], precision: str) -> None:
    embeddings = np.array(rows, dtype=np.float32)
    got = rushlight._core.quantize(embeddings, precision)
    want = reference(embeddings, precision)
    assert got.dtype == want.dtype
    assert got.tolist() == want.tolist()


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions(model: Model, precision: str) -> None:
    embeddings = model.encode(TEXTS)
    quantized = model.encode(TEXTS, precision=precision)
    assert quantized.tolist() == reference(embeddings, precision).tolist()
    if "binary" in precision:
        assert model.encode(TEXTS[0], precision=precision).tolist() == quantized[0].tolist()


def test_progress_is_shown_where_asked_for(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    model.encode(TEXTS, show_progress_bar=False)
    model.encode(TEXTS)
    assert capsys.readouterr() == ("", "")
    model.encode(TEXTS, show_progress_bar=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err


def test_progress_is_shown_at_level_info(
    model: Model, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="rushlight"):
        model.encode(TEXTS)
    assert "4/4" in capsys.readouterr().err


def test_an_error_in_the_progress_bar_is_raised(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    request = {
        "prompt": "",
        "role": None,
        "task": None,
        "normalize_embeddings": False,
        "truncate_dim": None,
        "fail_on_truncation": False,
        "progress": broken,
        "poll": None,
    }
    with pytest.raises(ZeroDivisionError):
        model._engine.encode(TEXTS, request)


def test_threads_share_a_model(model: Model) -> None:
    want = model.encode(TEXTS * 5).tobytes()
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(model.encode(TEXTS * 5).tobytes())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [want] * 16


def test_the_interpreter_is_free_while_computing(model: Model) -> None:
    done = threading.Event()
    ticks = []

    def count() -> None:
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = time.monotonic()
    model.encode([f"some text number {i} " * 10 for i in range(20_000)])
    took = time.monotonic() - before
    done.set()
    thread.join()
    # Held, it would tick in the gaps of 5 ms switches at most before and after: a handful of times.
    assert len(ticks) > 10 * took


def test_an_overridden_encode_gets_the_prompt_of_the_role() -> None:
    class Recorded(Model):
        def encode(self, inputs: object, *, prompt: str | None = None) -> object:
            return super().encode(inputs, prompt=prompt), prompt

    model = Recorded(tiny("bert-mean-normalize").model, prompts={"query": "ask: "})
    embedding, prompt = model.encode_query("a")
    assert prompt == "ask: "
    assert np.array_equal(embedding, Model.encode(model, "a", prompt="ask: "))
    with pytest.raises(TypeError, match="encode_query takes no role"):
        Model(tiny("bert-mean-normalize").model).encode_query("a", role="document")


def test_a_bad_prompt_breaks_no_call_that_does_not_use_it() -> None:
    model = Model(tiny("bert-mean-normalize").model, prompts={"passage": "p: "})
    expected = model.encode_document("a")
    model.prompts.update({"other": 3, "document": None})
    assert np.array_equal(model.encode_document("a"), expected)
    assert np.array_equal(model.encode("a", prompt="p: "), expected)
    with pytest.raises(InvalidArgumentError, match="prompts: must be a str, got int"):
        model.encode("a", prompt_name="other")
