"""Ctrl-C while searching, mining and looking for communities."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from interrupts import check_interrupt

from rushlight import util

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

ROWS = np.random.default_rng(0).standard_normal((100_000, 256), np.float32)
BYTES = np.random.default_rng(0).integers(0, 256, (400_000, 16), np.uint8)

# Each takes many seconds.
CALLS = {
    "float32": lambda: util.semantic_search(ROWS, ROWS),
    "int8": lambda: util.semantic_search(
        ROWS, ROWS.view(np.int8)[:, :256], corpus_precision="int8", ranges=[[0] * 256, [1] * 256]
    ),
    "binary": lambda: util.semantic_search(BYTES, BYTES, corpus_precision="ubinary", rescore=False),
    "rescoring": lambda: util.semantic_search(
        ROWS[:2000, :8], BYTES[:, :1], top_k=20_000, corpus_precision="ubinary", score_function="euclidean"
    ),
    "callable": lambda: util.semantic_search(ROWS, ROWS, corpus_chunk_size=1000, score_function=lambda a, b: a @ b.T),
    "mining": lambda: util.paraphrase_mining_embeddings(ROWS),
    "mining of many": lambda: util.paraphrase_mining_embeddings(ROWS[:5000], max_pairs=10**7, top_k=5000),
    "communities": lambda: util.community_detection(ROWS, 0.9),
    "members": lambda: util.community_detection(ROWS[:40_000], 2.0**-6, 2),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_interrupt_stops_it_within_a_second(call):
    check_interrupt(call)
