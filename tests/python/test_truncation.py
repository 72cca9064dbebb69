"""Texts that are too long, in models of all kinds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from cases import DATA

from rushlight import Model, MultiVectorModel, Reranker, SparseModel
from rushlight.exceptions import InvalidArgumentError

TEXTS = ["short", "word " * 300, "word " * 300]


def _pairs(**options: Any) -> Any:
    return Reranker(DATA / "rerank/rerank-bert/model").predict([("short", text) for text in TEXTS], **options)


def _sparse(**options: Any) -> Any:
    return SparseModel(DATA / "sparse/splade-bert-max/model").encode(TEXTS, **options).to_dense()


def _documents(**options: Any) -> Any:
    model = MultiVectorModel(DATA / "multi_vector/multivector-native-bert/model")
    return model.encode_document(TEXTS, **options)


def _queries(**options: Any) -> Any:
    model = MultiVectorModel(DATA / "multi_vector/multivector-native-bert/model")
    return model.encode_query(TEXTS, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Model(DATA / "tiny/bert-mean-normalize/model").encode, "texts were cut to 64 tokens"),
        (_pairs, "pairs were cut to 96 tokens"),
        (_sparse, "texts were cut to 96 tokens"),
        (_documents, "texts were cut to 90 tokens"),
        (_queries, "texts were cut to 32 tokens"),
    ],
)
def test_texts_that_are_too_long(call: Callable[..., Any], words: str, caplog: pytest.LogCaptureFixture) -> None:
    arguments = {"inputs": TEXTS} if call.__name__ == "encode" else {}
    with caplog.at_level(logging.WARNING, logger="rushlight"):
        ignored = call(**arguments)
        assert not caplog.records
        warned = call(**arguments, truncation="warn")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"2 of 3 {words}; the longest has 30")
    assert all((a == b).all() for a, b in zip(ignored, warned, strict=True))
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]"):
        call(**arguments, truncation="error")
    with pytest.raises(InvalidArgumentError, match=r"truncation.*'warn'"):
        call(**arguments, truncation="maybe")
