"""`rushlight.integrations.sklearn`."""

from __future__ import annotations

import pickle

import checks
import numpy as np
import pytest
from checks import FOLDER

pytest.importorskip("sklearn")
pd = pytest.importorskip("pandas")

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from rushlight.exceptions import InvalidArgumentError, InvalidInputError
from rushlight.integrations.sklearn import SentenceEncoder

TEXTS = ["I love it", "Wonderful, thank you", "It broke at once", "A waste of money"] * 3
LABELS = ["good", "good", "bad", "bad"] * 3


def test_embeddings(model) -> None:
    encoder = SentenceEncoder(FOLDER, role="document")
    checks.roles(model, encoder.fit(TEXTS).transform)
    assert checks.equal(encoder.transform(TEXTS), model.encode_document(TEXTS))  # unfitted, too
    assert checks.equal(SentenceEncoder(FOLDER).fit_transform(TEXTS), model.encode(TEXTS))
    assert checks.equal(SentenceEncoder(model).fit_transform(TEXTS), model.encode(TEXTS))
    assert SentenceEncoder(FOLDER).transform([]).shape == (0, model.embedding_dimension)


@pytest.mark.parametrize("name", [
    "check_estimators_unfitted", "check_get_params_invariance", "check_set_params", "check_no_attributes_set_in_init",
    "check_parameters_default_constructible", "check_estimator_cloneable", "check_estimator_repr",
    "check_estimator_tags_renamed", "check_valid_tag_types",
    "check_mixin_order",
])  # fmt: skip
def test_the_checks_of_estimators_that_apply_to_text(name: str) -> None:
    getattr(estimator_checks, name)("SentenceEncoder", SentenceEncoder(FOLDER))


def test_copies_hold_settings_alone() -> None:
    encoder = SentenceEncoder(FOLDER, truncate_dim=5).fit(TEXTS)
    data = pickle.dumps(encoder)
    assert len(data) < 3000
    assert b"secret" not in pickle.dumps(SentenceEncoder(FOLDER, token="secret"))
    for again in (clone(encoder), pickle.loads(data)):
        assert again.get_params() == encoder.get_params()
        assert np.array_equal(again.transform(TEXTS), encoder.transform(TEXTS))


def test_tables(model) -> None:
    frame = pd.DataFrame({"text": TEXTS, "more": TEXTS})
    expected = model.encode(TEXTS)
    encoder = SentenceEncoder(FOLDER)
    for texts in (frame["text"], frame[["text"]], frame[["text"]].to_numpy(), iter(TEXTS), np.array(TEXTS)):
        assert checks.equal(encoder.transform(texts), expected)
    for columns in ("text", ["text"]):
        assert checks.equal(ColumnTransformer([("embed", encoder, columns)]).fit_transform(frame), expected)
    for wrong, message in [(frame, "must be one column"), ("a lamp", "must be an iterable"), ([1], r"inputs\[0\]")]:
        with pytest.raises(InvalidInputError, match=message):
            encoder.transform(wrong)
    with pytest.raises(InvalidInputError, match=r"inputs\[1\]: must be a str, got a null"):
        encoder.transform(pd.Series(["a", None]))


def test_names_of_columns(model) -> None:
    encoder = SentenceEncoder(FOLDER, truncate_dim=3).set_output(transform="pandas")
    found = encoder.fit_transform(pd.Series(TEXTS, index=range(100, 112)))
    assert list(found.columns) == ["sentenceencoder0", "sentenceencoder1", "sentenceencoder2"]
    assert list(found.index) == list(range(100, 112))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_grid_search(jobs: int) -> None:
    pipeline = make_pipeline(SentenceEncoder(FOLDER), LogisticRegression())
    grid = {"sentenceencoder__truncate_dim": [4, 8, None]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=jobs).fit(TEXTS, LABELS)
    assert search.best_score_ > 0.9
    assert list(search.predict(["I love it"])) == ["good"]


def test_options_are_checked_when_they_are_used() -> None:
    with pytest.raises(InvalidArgumentError, match="truncation: must be one of"):
        SentenceEncoder(FOLDER, truncation="no").transform(["a"])
