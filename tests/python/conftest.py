"""What the tests share."""

from __future__ import annotations

import os

import pytest
from cases import tiny

from rushlight import Model

# Nothing is downloaded from where the developer happens to be; tests of downloading have a hub of their own.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def model() -> Model:
    return Model(tiny("bert-mean-normalize").model)
