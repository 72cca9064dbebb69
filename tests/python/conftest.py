"""What the tests share."""

from __future__ import annotations

import pytest
from cases import tiny

from rushlight import Model


@pytest.fixture
def model() -> Model:
    return Model(tiny("bert-mean-normalize").model)
