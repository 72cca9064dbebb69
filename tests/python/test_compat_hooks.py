"""Subclasses of `rushlight.compat`'s models, names that other libraries know them by, and older ways to call them."""

from __future__ import annotations

import importlib
import pickle
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, router, tiny

from rushlight import Model, MultiVectorModel, SparseModel, compat
from rushlight.compat import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from rushlight.exceptions import InvalidArgumentError, UnsupportedFeatureError

TEXTS = ["one text", "another, longer text"]
FOLDERS = {
    SentenceTransformer: tiny("bert-cls-normalize-prompts").model,
    CrossEncoder: DATA / "rerank" / "rerank-bert" / "model",
    SparseEncoder: DATA / "sparse" / "splade-bert-max" / "model",
    MultiVectorEncoder: DATA / "multi_vector" / "multivector-native-bert" / "model",
}
PATHS = {
    SentenceTransformer: "sentence_transformer.model",
    CrossEncoder: "cross_encoder.model",
    SparseEncoder: "sparse_encoder.model",
    MultiVectorEncoder: "multi_vector_encoder.model",
}
EMBEDDING = {SentenceTransformer: Model, SparseEncoder: SparseModel, MultiVectorEncoder: MultiVectorModel}


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


def recording(kind: type, method: str = "encode"):
    """Return a subclass with a method of its own, which keeps what it is called with."""

    class Subclass(kind):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self.calls = []

    def override(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        return getattr(kind, method)(self, *args, **kwargs)

    setattr(Subclass, method, override)
    return Subclass


def equal(one, two) -> bool:
    if isinstance(one, list):
        return all(map(np.array_equal, one, two)) and len(one) == len(two)
    return np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two


# Subclasses


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("kind", EMBEDDING, ids=lambda kind: kind.__name__)
def test_queries_and_documents_are_embedded_by_an_overridden_encode(kind, role: str) -> None:
    prompts = {"query": "q: ", "document": "", "passage": "p: "}
    model, plain = recording(kind)(FOLDERS[kind], prompts=prompts), EMBEDDING[kind](FOLDERS[kind], prompts=prompts)
    embedded = getattr(model, f"encode_{role}")(TEXTS, batch_size=8)
    assert equal(embedded, getattr(plain, f"encode_{role}")(TEXTS))
    [(args, options)] = model.calls
    assert args == ()
    assert options["inputs"] is TEXTS
    wanted = {"task": role, "prompt_name": {"query": "query", "document": "passage"}[role], "prompt": None}
    assert {**options, **wanted, "batch_size": 8} == options
    assert options["show_progress_bar"] is None  # arguments that are not given come with their defaults


@pytest.mark.parametrize("kind", EMBEDDING, ids=lambda kind: kind.__name__)
def test_an_empty_prompt_has_its_name(kind) -> None:
    model = recording(kind)(FOLDERS[kind], prompts={"query": "", "document": ""}, default_prompt_name="query")
    model.encode_query("a")
    model.encode_document("a")
    assert [(options["prompt_name"], options["prompt"]) for _, options in model.calls] == [
        ("query", None),
        ("document", None),
    ]


@pytest.mark.parametrize("kind", EMBEDDING, ids=lambda kind: kind.__name__)
def test_a_prompt_of_the_call_wins(kind) -> None:
    model = recording(kind)(FOLDERS[kind], prompts={"other": "o: "}, default_prompt_name="other")
    plain = EMBEDDING[kind](FOLDERS[kind])
    for options, prompt in [({"prompt": "x: "}, "x: "), ({"prompt_name": "other"}, "o: ")]:
        assert equal(model.encode_query(TEXTS, **options), plain.encode_query(TEXTS, prompt=prompt))
    model.prompts = {"other": "o: "}
    for role in ("query", "document"):  # neither takes the default one
        embed = f"encode_{role}"
        assert equal(getattr(model, embed)(TEXTS), getattr(plain, embed)(TEXTS, prompt=""))
    assert [options["prompt"] for _, options in model.calls] == ["x: ", None, "", ""]


def test_queries_go_their_way_through_an_overridden_encode(tmp_path: Path) -> None:
    folder = router(tmp_path, {"query": "bert-mean-normalize", "document": "bert-relu-eps"})
    model, plain = recording(SentenceTransformer)(folder), Model(folder)
    for embed in ("encode_query", "encode_document"):
        assert np.array_equal(getattr(model, embed)(TEXTS), getattr(plain, embed)(TEXTS))
    assert not np.array_equal(model.encode_query(TEXTS), model.encode_document(TEXTS))
    assert [options["task"] for _, options in model.calls] == ["query", "document"] * 2


def test_ranking_goes_by_overridden_methods() -> None:
    model = recording(CrossEncoder, "predict")(FOLDERS[CrossEncoder])
    assert model.rank("a", TEXTS, prompt="x: ") == CrossEncoder(FOLDERS[CrossEncoder]).rank("a", TEXTS, prompt="x: ")
    [(args, options)] = model.calls
    assert [list(pair) for pair in args[0]] == [["a", text] for text in TEXTS]
    assert options["prompt"] == "x: "
    expected = MultiVectorModel(FOLDERS[MultiVectorEncoder]).rank("a", TEXTS)
    for method, calls in [("encode", 2), ("similarity", 1)]:
        model = recording(MultiVectorEncoder, method)(FOLDERS[MultiVectorEncoder])
        assert model.rank("a", TEXTS) == expected
        assert len(model.calls) == calls


@pytest.mark.parametrize("hook", ["forward", "preprocess"])
@pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.__name__)
def test_a_method_that_is_never_called_is_not_overridden(kind, hook: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=rf"^Own\.{hook}: .*never calls it; override encode"):
        type("Own", (kind,), {hook: lambda _self, features: features})
    mixin = type("Mixin", (), {hook: lambda _self, features: features})
    with pytest.raises(UnsupportedFeatureError, match=rf"^Own\.{hook}: "):
        type("Own", (mixin, kind), {})
    assert type("Own", (kind,), {"tokenize": None, "encode": None}).__mro__[1] is kind


# Names


@pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.__name__)
def test_libraries_that_look_for_sentence_transformers_find_it(kind) -> None:
    model = kind(FOLDERS[kind])
    assert "sentence_transformers" in str(type(model))
    # BERTopic and KeyBERT look for this first.
    assert not any(name in str(type(model)) for name in ("flair", "gensim", "model2vec", "saved_model", "spacy"))
    assert getattr(importlib.import_module(kind.__module__), kind.__qualname__) is kind
    assert pickle.loads(pickle.dumps(kind)) is kind
    # As it was pickled before it had that name.
    assert pickle.loads(f"crushlight.compat.{PATHS[kind]}\n{kind.__name__}\n.".encode()) is kind


@pytest.mark.parametrize("library", ["bertopic", "keybert"])
def test_bertopic_and_keybert_take_a_model_or_raise(monkeypatch, library: str) -> None:
    monkeypatch.delitem(sys.modules, "torch")  # scikit-learn asks for it
    select = pytest.importorskip(f"{library}.backend._utils").select_backend
    model = SentenceTransformer(FOLDERS[SentenceTransformer])
    monkeypatch.setitem(sys.modules, "sentence_transformers", compat)
    with suppress(ModuleNotFoundError):  # of what else they import of sentence-transformers
        backend = select(model)
        assert backend.embedding_model is model
        assert np.array_equal(backend.embed(TEXTS), model.encode(TEXTS))


# Older ways to call


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        (SentenceTransformer, ["encode", "encode_query", "encode_document"]),
        (SparseEncoder, ["encode", "encode_query", "encode_document"]),
        (CrossEncoder, ["predict"]),
    ],
)
def test_inputs_may_be_called_sentences(kind, methods: list[str], caplog) -> None:
    model = kind(FOLDERS[kind])
    inputs = [("a", "b"), ("c", "d")] if kind is CrossEncoder else TEXTS
    for method in methods:
        call = getattr(model, method)
        assert equal(call(sentences=inputs), call(inputs))
        with pytest.raises(InvalidArgumentError, match="sentences: it is now called inputs, which is given, too"):
            call(sentences=inputs, inputs=inputs)
    assert caplog.messages == ["sentences is now called inputs"] * 2 * len(methods)


def test_dropout_has_no_effect(caplog) -> None:
    CrossEncoder(FOLDERS[CrossEncoder], classifier_dropout=0.1)
    assert caplog.messages == ["classifier_dropout has no effect any more"]


# Prompts


@pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.__name__)
def test_a_prompt_of_none_is_the_folders_own_or_none(kind, tmp_path: Path) -> None:
    saved = kind(FOLDERS[kind], prompts={"query": "q: ", "own": "own: "})
    saved.save(tmp_path / "model")
    prompts = {"own": None, "query": "asked: ", "none": None}
    model = kind(tmp_path / "model", prompts=prompts, default_prompt_name="none")
    assert {name: model.prompts[name] for name in prompts} == {"own": "own: ", "query": "asked: ", "none": ""}
    assert model.default_prompt_name == "none"
    assert kind(tmp_path / "model", prompts={"none": None}, default_prompt_name="own").default_prompt_name == "own"
    assert pickle.loads(pickle.dumps(model)).prompts == model.prompts
    with pytest.raises(InvalidArgumentError, match="default_prompt_name: no prompt 'unheard'"):
        kind(tmp_path / "model", prompts={"none": None}, default_prompt_name="unheard")
    for wrong in ({"none": None, "a": 1}, {"none": None, 1: None}, [None], 3):
        with pytest.raises(InvalidArgumentError, match="prompts"):
            kind(tmp_path / "model", prompts=wrong)
