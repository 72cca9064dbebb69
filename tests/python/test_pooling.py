"""Pooling, through the whole model, against plain numpy."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight import Model

MODES = ["lasttoken", "mean", "cls", "weightedmean", "max", "mean_sqrt_len_tokens"]


def reference(mode: str, tokens: np.ndarray, skip: int) -> np.ndarray:
    """Pool the tokens after the first `skip`, of which some are left."""
    kept = tokens[skip:].astype(np.float64)
    weights = np.arange(skip + 1, len(tokens) + 1)[:, None]
    return {
        "cls": lambda: kept[0],
        "max": lambda: kept.max(axis=0),
        "mean": lambda: kept.mean(axis=0),
        "mean_sqrt_len_tokens": lambda: kept.sum(axis=0) / np.sqrt(len(kept)),
        "weightedmean": lambda: (kept * weights).sum(axis=0) / weights.sum(),
        "lasttoken": lambda: kept[-1],
    }[mode]()


@pytest.fixture(scope="module", params=[True, False], ids=["with prompt", "without prompt"])
def pooled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, bool]:
    """A model with all pooling modes, and whether they count the prompt."""
    folder = tmp_path_factory.mktemp("pooled") / "model"
    shutil.copytree(tiny("bert-multi-pooling").model, folder)
    config = {"embedding_dimension": 32, "pooling_mode": MODES, "include_prompt": request.param}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return Model(folder), request.param


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=5),
    st.sampled_from(["", "query: ", "a longer prompt, of more than a word: ", "word " * 100]),
)
@settings(max_examples=60, deadline=None)
def test_pooling_is_that_of_plain_numpy(pooled: tuple[Model, bool], texts: list[str], prompt: str) -> None:
    model, counts_prompt = pooled
    # The tokens of the prompt alone, but for the special one at its end.
    skip = 0 if counts_prompt or not prompt else len(model.tokenizer.encode(prompt)) - 1
    for row in model.encode(texts, prompt=prompt, output_value=None):
        want = [reference(mode, row["token_embeddings"], skip) for mode in MODES]
        np.testing.assert_allclose(row["sentence_embedding"], np.concatenate(want), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cache", ["hkunlp/instructor-base", "other/instructor-base"])
def test_whether_prompts_count_can_be_set_and_goes_with_the_model(tmp_path: Path, cache: str) -> None:
    text, options = ["a text"], {"prompt": "represent this: "}
    model = Model(tiny("bert-mean-normalize").model)
    counted = model.encode(text, **options)
    model.set_pooling_include_prompt(False)
    left_out = model.encode(text, **options)
    assert np.abs(left_out - counted).max() > 1e-3
    model.save_pretrained(tmp_path / "saved")
    again = [Model(tmp_path / "saved"), copy.copy(model), pickle.loads(pickle.dumps(model))]
    for other in again:
        assert (other.encode(text, **options) == left_out).all()
    model.set_pooling_include_prompt(True)
    assert (model.encode(text, **options) == counted).all()
    # INSTRUCTOR models are known by their names.
    snapshot = tmp_path / "hub" / f"models--{cache.replace('/', '--')}" / "snapshots" / "main"
    shutil.copytree(tiny("bert-mean-normalize").model, snapshot)
    named = Model(cache, cache_folder=tmp_path / "hub", local_files_only=True, revision="main")
    assert (named.encode(text, **options) == (left_out if cache.startswith("hkunlp") else counted)).all()
