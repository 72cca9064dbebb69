"""Long texts, in chunks."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from cases import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight import Model
from rushlight.exceptions import InvalidArgumentError

MODELS = {
    name: Model(tiny(name).model)
    for name in ("bert-mean-normalize", "roberta-mean-normalize", "xlm-roberta-mean", "t5-gated-mean")
}
WORDS = "The quick brown fox jumps over the lazy dog. "


@pytest.mark.parametrize("name", MODELS)
@given(
    text=st.text()
    | st.lists(st.sampled_from(["word", "  ", "\n", "日本語", "e\u0301", "👩\u200d👧", "a" * 40, ". "])).map("".join),
    max_tokens=st.integers(4, 20),
    overlap=st.integers(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_chunks_are_whole_parts_of_the_text(name: str, text: str, max_tokens: int, overlap: int) -> None:
    model = MODELS[name]
    chunks = model.chunk(text, max_tokens=max_tokens, overlap=overlap)
    assert chunks
    for part, start, end in chunks:
        assert part == text[start:end]
        assert model.count_tokens(part) <= max_tokens or len(part.split()) <= 1
    starts, ends = [start for _, start, _ in chunks], [end for _, _, end in chunks]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))
    # Only white space lies between chunks.
    between = [text[end:start] for end, start in zip([0, *ends], [*starts, len(text)], strict=True)]
    assert not "".join(between).strip()


@pytest.mark.parametrize("name", MODELS)
def test_chunks_end_at_words_and_overlap(name: str) -> None:
    model, text = MODELS[name], WORDS * 30
    for overlap in (0, 5):
        chunks = model.chunk(text, max_tokens=30, overlap=overlap)
        assert len(chunks) > 5
        for _, start, end in chunks:
            assert start == 0 or text[start - 1].isspace() or text[start].isspace()
            assert end == len(text) or text[end].isspace() or text[end - 1].isspace()
        shared = [end - start for (_, _, end), (_, start, _) in itertools.pairwise(chunks)]
        assert all((size > 0) == (overlap > 0) for size in shared), shared


def test_chunks_are_embedded_each_or_by_their_mean() -> None:
    model, texts = MODELS["bert-mean-normalize"], [WORDS * 20, "short", ""]
    arrays = model.encode_chunks(texts, max_tokens=20, overlap=2)
    for text, array in zip(texts, arrays, strict=True):
        parts = [part for part, _, _ in model.chunk(text, max_tokens=20, overlap=2)]
        np.testing.assert_array_equal(array, model.encode(parts))
    means = model.encode_chunks(texts, max_tokens=20, overlap=2, pool="mean")
    np.testing.assert_array_equal(means, np.stack([array.mean(axis=0) for array in arrays]))
    assert model.encode_chunks([], pool="mean").shape == (0, model.embedding_dimension)
    assert model.encode_chunks([]) == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_tokens": 2}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 8, "overlap": 6}, "overlap"),
        ({"overlap": -1}, "overlap"),
        ({"overlap": "1"}, "overlap"),
    ],
)
def test_what_leaves_no_room_is_refused(options: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidArgumentError, match=word):
        MODELS["bert-mean-normalize"].chunk("text", **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="texts"):
        MODELS["bert-mean-normalize"].encode_chunks("text")
    with pytest.raises(InvalidArgumentError, match="mean"):
        MODELS["bert-mean-normalize"].encode_chunks(["text"], pool="max")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("prompt", ["query:", "query: ", "Represent this", "passage"])
@given(
    text=st.lists(st.sampled_from(["word", "lamp", "harbour", "🕯️", "日本", "by", "."])).map(" ".join),
    overlap=st.integers(0, 8),
)
@settings(max_examples=20, deadline=None)
def test_a_prompt_has_room_before_each_chunk(name: str, prompt: str, text: str, overlap: int) -> None:
    model = MODELS[name]
    model = copy.copy(model)
    model.max_seq_length = 30
    (rows,) = model.encode_chunks([text], prompt=prompt, overlap=overlap, truncation="error")
    assert len(rows) >= 1


@given(text=st.lists(st.sampled_from(["word", "lamp", "harbour", "🕯️", "by", "."])).map(" ".join))
@settings(max_examples=40, deadline=None)
def test_an_overlap_makes_no_chunk_too_long(text: str) -> None:
    model = MODELS["bert-mean-normalize"]
    parts = [part for part, _, _ in model.chunk(text, max_tokens=12, overlap=9)]
    assert all(model.count_tokens(part) <= 12 for part in parts)


@pytest.mark.parametrize("name", MODELS)
@given(
    words=st.lists(
        st.sampled_from(["aa", "http://x.y/z?q=1", "don't", "b", "12,5", "a" * 30, "cre\u0301e\u0301s", "a\u200bb"]),
        min_size=1,
    ),
    max_tokens=st.integers(8, 30),
    overlap=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_word_that_fits_is_not_cut(name: str, words: list[str], max_tokens: int, overlap: int) -> None:
    model, text = MODELS[name], " ".join(words)
    inside = itertools.chain.from_iterable(
        (start, end) for _, start, end in model.chunk(text, max_tokens=max_tokens, overlap=overlap)
    )
    for place in inside:
        before, after = text[:place].rpartition(" ")[2], text[place:].partition(" ")[0]
        # Alone a word may have a token more or less than in its text.
        assert not (before and after) or model.count_tokens(before + after) >= max_tokens


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "binary"},
        {"output_value": "token_embeddings"},
        {"output_value": None},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"out": np.empty((1, 32), np.float32)},
    ],
)
def test_there_is_a_mean_of_float32_alone(options: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(options))}: must be .*pool='mean'"):
        MODELS["bert-mean-normalize"].encode_chunks(["text"], pool="mean", **options)


@pytest.mark.parametrize("options", [{}, {"role": "document"}, {"prompt": ""}, {"prompt_name": "long"}])
def test_chunks_are_those_that_are_embedded(options: dict[str, str]) -> None:
    prompts = {"long": "Represent this sentence: ", "document": "passage: "}
    model = Model(tiny("bert-mean-normalize").model, prompts=prompts, default_prompt_name="long")
    text = "A lamp lights the room. It is small. " * 12
    chunks = model.chunk(text, max_tokens=16, **options)
    [rows] = model.encode_chunks([text], max_tokens=16, **options)
    assert len(rows) == len(chunks)
    assert np.array_equal(rows, model.encode([part for part, _, _ in chunks], **options))


def test_late_chunks_know_their_context() -> None:
    model = MODELS["bert-mean-normalize"]
    texts = [WORDS * 3, "One text.", ""]
    late = model.encode_chunks(texts, max_tokens=16, late=True)
    plain = model.encode_chunks(texts, max_tokens=16)
    assert [rows.shape for rows in late] == [rows.shape for rows in plain]
    assert [rows.dtype for rows in late] == [np.float32] * 3
    assert np.abs(late[0] - plain[0]).max() > 1e-3
    assert np.allclose(np.linalg.norm(late[0], axis=1), 1)
    alone = model.encode_chunks(texts[:1], max_tokens=16, late=True)[0]
    assert np.array_equal(late[0], alone)
    means = model.encode_chunks(texts, max_tokens=16, late=True, pool="mean")
    assert np.array_equal(means[0], late[0].mean(axis=0))
    assert model.encode_chunks([], late=True) == []
    assert model.encode_chunks([], late=True, pool="mean").shape == (0, model.embedding_dimension)


def test_late_chunks_of_one_text_are_means_of_its_tokens() -> None:
    model = MODELS["xlm-roberta-mean"]
    text = WORDS * 2
    tokens = model.encode(text, output_value="token_embeddings")
    late = model.encode_chunks([text], late=True)[0]
    assert np.abs(late[0] - tokens[1:-1].mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"precision": "int8"}, "precision: must be 'float32' with late=True"),
        ({"convert_to_tensor": True}, "convert_to_tensor"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"overlap": -1}, "overlap"),
        ({"truncation": "no"}, "truncation"),
    ],
)
def test_wrong_options_of_late_chunks(options, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        MODELS["bert-mean-normalize"].encode_chunks(["a"], late=True, **options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'device'"):
        MODELS["bert-mean-normalize"].encode_chunks(["a"], late=True, device="cpu")
