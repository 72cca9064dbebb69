"""Paths of the harness, all below the repository. git ignores all that is made there but the results."""

from __future__ import annotations

import sys
from pathlib import Path

HARNESS = Path(__file__).parent
BENCHES = HARNESS.parents[1]
ROOT = BENCHES.parent
MODELS = ROOT / ".models"
DATA = ROOT / "tests/data"
RESULTS = BENCHES / "results"
CACHE = BENCHES / ".cache"


def python(venv: str) -> Path:
    """Return the Python of a peers' environment, or this one for no name."""
    return BENCHES / f".venv-{venv}" / "bin/python" if venv else Path(sys.executable)
