"""Searching takes memory for the embeddings and the result, not for all scores."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Both sides and their copies are some ten MB; all scores would be 8 GB.
SEARCH = """
import resource, sys
import numpy as np
from rushlight import util

rng = np.random.default_rng(0)
queries, corpus = rng.standard_normal((20_000, 64), np.float32), rng.standard_normal((100_000, 64), np.float32)
precision, top_k = sys.argv[1], 2
ranges = np.stack([corpus.min(0), corpus.max(0)])
rows = util.quantize_embeddings(corpus, precision, ranges)
options = {"ranges": ranges} if precision == "int8" else {}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = util.semantic_search(queries, rows, top_k=top_k, corpus_precision=precision, **options)
assert len(found) == len(queries)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is the system's own")
@pytest.mark.parametrize("precision", ["float32", "int8", "ubinary"])
def test_memory_does_not_grow_with_the_number_of_scores(precision):
    command = [sys.executable, "-c", SEARCH, precision]
    kibibytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert kibibytes < 128 * 1024
