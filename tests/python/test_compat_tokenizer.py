"""`tokenizer` of `rushlight.compat`'s models: what is used of transformers' tokenizers with a model."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model
from rushlight.compat import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from rushlight.exceptions import (
    InvalidArgumentError,
    InvalidInputError,
    MissingDependencyError,
    UnsupportedFeatureError,
)

FOLDERS = {
    SentenceTransformer: tiny("bert-typed-tokenizer").model,
    CrossEncoder: DATA / "rerank" / "rerank-bert" / "model",
    SparseEncoder: DATA / "sparse" / "splade-bert-max" / "model",
    MultiVectorEncoder: DATA / "multi_vector" / "multivector-native-bert" / "model",
}
TEXTS = ["a b c", "a", "a longer text"]
CALLS = [
    {},
    {"padding": True},
    {"padding": "max_length", "max_length": 12},
    {"padding": "max_length"},
    {"truncation": True, "max_length": 4},
    {"max_length": 4},
    {"max_length": 4, "truncation": False},
    {"max_length": 4, "padding": True},
    {"padding": "longest", "truncation": "longest_first", "max_length": 4, "padding_side": "left"},
    {"padding": True, "return_attention_mask": False},
    {"return_token_type_ids": True},
    {"return_token_type_ids": False, "stride": 0, "return_length": False, "verbose": False},
    {"text_pair": ["d", "e f g h", "i"], "truncation": True, "max_length": 6},
]


@pytest.fixture(params=FOLDERS, ids=lambda kind: kind.__name__)
def model(request):
    return request.param(FOLDERS[request.param])


def test_calling_it(model):
    tokenizer = model.tokenizer
    one, several = tokenizer("a b c"), tokenizer(TEXTS, padding=True, return_tensors="np")
    assert one["input_ids"] == one.input_ids == tokenizer.encode("a b c") == several["input_ids"][0, :5].tolist()
    assert one.attention_mask == [1] * 5
    assert all(array.shape == several.input_ids.shape for array in several.to("cpu").values())
    assert several["attention_mask"].tolist()[1] == [1] * 3 + [0] * (several["input_ids"].shape[1] - 3)
    assert [len(ids) for ids in tokenizer(TEXTS).input_ids] == model.count_tokens(TEXTS)
    assert tokenizer(TEXTS, max_length=4).input_ids[0] == [*one.input_ids[:3], one.input_ids[-1]]
    assert len(tokenizer("a", padding="max_length").input_ids) == tokenizer.model_max_length == model.max_seq_length
    assert tokenizer("a", "b").input_ids == tokenizer([("a", "b")]).input_ids[0]
    assert tokenizer("a", padding=True, return_tensors="np").input_ids.shape == (1, 3)
    assert tokenizer([], padding=True).input_ids == []
    with pytest.raises(AttributeError, match="unheard"):
        _ = one.unheard


def test_texts_are_cut_only_where_that_is_asked_for(model):
    model.max_seq_length = 4
    tokenizer = model.tokenizer
    assert tokenizer.model_max_length == 4
    assert len(tokenizer.encode("a b c d e")) == model.count_tokens("a b c d e") == 7
    assert len(tokenizer.encode("a b c d e", truncation=True)) == 4
    assert len(tokenizer.encode("a b c d e", truncation=True, max_length=6)) == 6
    assert model.max_seq_length == 4
    assert len(tokenizer.encode("a " * 5000, max_length=100)) == 100
    assert len(tokenizer.encode("a " * 5000)) == 5002
    assert len(tokenizer.encode("a " * 5000, add_special_tokens=False)) == 5000


def test_back_to_texts(model):
    tokenizer = model.tokenizer
    ids = tokenizer.encode("a b c")
    assert tokenizer.decode(ids) == "[CLS] a b c [SEP]"
    for given in (ids, tuple(ids), np.array(ids)):
        assert tokenizer.decode(given, skip_special_tokens=True) == "a b c"
    assert tokenizer.decode(ids[1]) == tokenizer.decode(np.int64(ids[1])) == "a"
    assert tokenizer.decode([ids, ids[:2]], True) == ["a b c", "a"]
    assert tokenizer.batch_decode(np.array([ids, ids]), True) == ["a b c"] * 2
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=None) == tokenizer.decode(ids)
    with pytest.raises(InvalidArgumentError, match=r"clean_up_tokenization_spaces: .*got False"):
        tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    for wrong in ([-1], "ab", ["ab"], None):
        with pytest.raises(InvalidArgumentError, match="ids: must be token ids"):
            tokenizer.decode(wrong)


def test_what_is_known_of_it(model):
    tokenizer = model.tokenizer
    assert (tokenizer.vocab_size, tokenizer.pad_token_id, tokenizer.padding_side) == (420, 0, "right")
    assert (tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)) == (2, 3)
    kind = type(model)
    left = kind(FOLDERS[kind], processor_kwargs={"padding_side": "left"}).tokenizer
    assert left.padding_side == "left"
    assert left(TEXTS, padding=True).input_ids[1][0] == 0
    for other in (copy.copy(left), copy.deepcopy(left)):
        assert other(TEXTS, padding=True) == left(TEXTS, padding=True)
    with pytest.raises(UnsupportedFeatureError, match="pickle the model"):
        pickle.dumps(left)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"padding": "most"}, InvalidArgumentError, "padding: must be one of True, False, None, 'longest'.*'most'"),
        ({"truncation": "only_first"}, InvalidArgumentError, "truncation: .*'longest_first'.*'only_first'"),
        ({"padding_side": "top"}, InvalidArgumentError, "padding_side"),
        ({"max_length": 0}, InvalidArgumentError, "max_length"),
        ({"return_tensors": "tf"}, InvalidArgumentError, "return_tensors: .*'tf'"),
        ({"return_tensors": "np"}, InvalidArgumentError, "several lengths need padding=True"),
        ({"return_tensors": "pt"}, MissingDependencyError, "torch is not installed"),
        ({"add_special_tokens": False, "truncation": True}, InvalidArgumentError, "add_special_tokens: a text that is"),
        ({"add_special_tokens": False, "text_pair": TEXTS}, InvalidArgumentError, "add_special_tokens: a pair"),
        ({"return_offsets_mapping": True}, InvalidArgumentError, "return_offsets_mapping: .*True"),
        ({"stride": 3}, InvalidArgumentError, "stride"),
        ({"images": np.array([1, 2])}, InvalidArgumentError, "images"),
        ({"text_pair": ["a"]}, InvalidArgumentError, "text_pair: must be one for each of 3 texts, got 1"),
    ],
)
def test_what_it_does_not_do(model, options, error, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(error, match=said):
        model.tokenizer(TEXTS, **options)


def test_single_tokens(model):
    tokenizer = model.tokenizer
    assert tokenizer.tokenize("a b") == ["a", "b"]
    ids = tokenizer.encode("a b", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids) == ["a", "b"]
    assert tokenizer.convert_ids_to_tokens(ids[0]) == "a"
    assert tokenizer.convert_tokens_to_ids(["a", "b"]) == ids
    assert tokenizer.convert_tokens_to_ids("no such token") == tokenizer.unk_token_id == 1
    assert tokenizer.convert_ids_to_tokens(10**6) is None
    assert (tokenizer.cls_token, tokenizer.cls_token_id, tokenizer.bos_token, tokenizer.bos_token_id) == (
        "[CLS]",
        2,
        None,
        None,
    )
    assert len(tokenizer) == len(tokenizer.get_vocab()) >= tokenizer.vocab_size
    assert tokenizer.get_vocab()["[CLS]"] == 2
    with pytest.raises(InvalidArgumentError, match="ids: must be token ids"):
        tokenizer.convert_ids_to_tokens(-1)
    for wrong in (None, 3):
        with pytest.raises(InvalidArgumentError, match="tokens: must be a str"):
            tokenizer.convert_tokens_to_ids(wrong)
    with pytest.raises(InvalidArgumentError, match="skip_special_tokens"):
        tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True)


def test_what_is_no_text(model):
    for wrong in (["a", 3], [("a", "b", "c")]):
        with pytest.raises(InvalidInputError):
            model.tokenizer(wrong)
    with pytest.raises(InvalidInputError, match="text: must be a str"):
        model.tokenizer.encode(TEXTS)


def test_what_is_missing_says_why(model):
    for name, said in [("get_added_vocab", "all tokens"), ("add_tokens", "is fixed"), ("pad", "padding=True")]:
        assert not hasattr(model.tokenizer, name)
        with pytest.raises(UnsupportedFeatureError, match=rf"^Tokenizer\.{name}: .*{said}"):
            getattr(model.tokenizer, name)
    with pytest.raises(AttributeError, match="'Tokenizer' object has no attribute 'unheard'"):
        _ = model.tokenizer.unheard


def test_nothing_is_set_to_no_effect(model):
    with pytest.raises(AttributeError, match=r"^Tokenizer\.x: it cannot be set; .*folder"):
        model.tokenizer.x = 8
    for name, value in [("model_max_length", 0), ("padding_side", 8)]:
        with pytest.raises(InvalidArgumentError, match=f"^{name}: must be"):
            setattr(model.tokenizer, name, value)
    plain = Model(FOLDERS[SentenceTransformer]).tokenizer
    for name in ("model_max_length", "vocab_size", "unheard"):
        with pytest.raises(AttributeError):
            setattr(plain, name, 8)


def both(kind):
    theirs = pytest.importorskip("sentence_transformers")
    return kind(FOLDERS[kind]).tokenizer, getattr(theirs, kind.__name__)(str(FOLDERS[kind])).tokenizer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.__name__)
def test_it_is_as_transformers_is(kind):
    torch, (ours, other) = pytest.importorskip("torch"), both(kind)
    for options in CALLS:
        if options.get("padding") == "max_length" and "max_length" not in options and kind is MultiVectorEncoder:
            continue  # documents have a token more for their marker
        assert dict(ours(TEXTS, **options)) == dict(other(TEXTS, **options))
        single = {**options, "text_pair": "d e f"} if "text_pair" in options else options
        assert dict(ours(TEXTS[0], **single)) == dict(other(TEXTS[0], **single))
        if options.get("padding"):
            for one, two in zip(
                *(t(TEXTS, return_tensors="pt", **options).input_ids for t in (ours, other)), strict=True
            ):
                assert torch.equal(one, two)
    for options in ({}, {"max_length": 4}, {"truncation": True}, {"text_pair": "d"}):
        assert ours.encode(TEXTS[2], **options) == other.encode(TEXTS[2], **options)
    for ids in (5, [5, 6], [[5, 6], [7]], np.array([2, 5, 3]), torch.tensor([[2, 5, 3]])):
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == other.decode(ids, skip_special_tokens=skip)
    assert ours.batch_decode([[5, 6], [7]]) == other.batch_decode([[5, 6], [7]])
    for pair in (False, True):
        assert ours.num_special_tokens_to_add(pair) == other.num_special_tokens_to_add(pair)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FOLDERS, ids=lambda kind: kind.__name__)
def test_its_tokens_are_those_of_transformers(kind):
    ours, other = both(kind)
    for text in TEXTS:
        assert ours.tokenize(text) == other.tokenize(text)
        assert ours.encode(text, add_special_tokens=False) == other.encode(text, add_special_tokens=False)
    assert dict(ours(TEXTS, add_special_tokens=False, padding=True)) == dict(
        other(TEXTS, add_special_tokens=False, padding=True)
    )
    for given in (5, [2, 5, 3]):
        assert ours.convert_ids_to_tokens(given) == other.convert_ids_to_tokens(given)
    for given in ("a", ["a", "[CLS]", "no such token"]):
        assert ours.convert_tokens_to_ids(given) == other.convert_tokens_to_ids(given)
    assert ours.get_vocab() == other.get_vocab()
    assert len(ours) == len(other)
    parts = [f"{part}_token" for part in ("bos", "cls", "eos", "mask", "pad", "sep", "unk")]
    for name in (
        "vocab_size",
        "padding_side",
        "is_fast",
        "model_input_names",
        *parts,
        *(f"{part}_id" for part in parts),
    ):
        assert getattr(ours, name) == getattr(other, name)
