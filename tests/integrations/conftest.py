"""Tests of `rushlight.integrations` against the frameworks themselves: `make test-integrations`."""

from __future__ import annotations

import os

import pytest
from checks import FOLDER, RERANKER, SPARSE

from rushlight import Model, Reranker, SparseModel

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ANONYMIZED_TELEMETRY"] = os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"


@pytest.fixture(scope="session")
def model() -> Model:
    return Model(FOLDER)


@pytest.fixture(scope="session")
def reranker() -> Reranker:
    return Reranker(RERANKER)


@pytest.fixture(scope="session")
def sparse() -> SparseModel:
    return SparseModel(SPARSE)
