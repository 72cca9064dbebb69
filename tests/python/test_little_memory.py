"""Calls whose memory is limited: a result or an error. No size that a caller chooses ends the process."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import DATA, tiny

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit counts all memory there only")

PROGRAM = Path(__file__).parent / "little_memory.py"
MEGABYTE = 1 << 20
MODEL = tiny("bert-mean-normalize").model


def outcome(call: str, folder: Path, allowed: int, *used: Path) -> str:
    """Return the result or the error of a call, or the size in bytes of the allocation that ended the process."""
    command = [sys.executable, str(PROGRAM), call, str(folder), str(allowed), *map(str, used)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    failed = re.findall(r"memory allocation of (\d+) bytes failed", ended.stderr)
    if failed:
        return failed[0]
    assert ended.returncode == 0, (call, allowed, ended.stderr)
    return ended.stdout.strip()


LARGE = ["a long text", "chunks", "count", "many texts", "many tokens", "a stream in one piece"]
LARGE += ["similarity", "search", "mining", "dense", "an image"]


@pytest.mark.parametrize("call", LARGE)
def test_a_call_that_needs_more_memory_raises_memory_error(call: str) -> None:
    folder = DATA / "tiny/clip-transformer/model" if call == "an image" else MODEL
    assert outcome(call, folder, 32 * MEGABYTE) == "MemoryError"


@pytest.mark.parametrize("call", ["batch size", "chunk size", "top_k"])
def test_a_huge_number_is_no_reason_for_memory(call: str) -> None:
    assert outcome(call, MODEL, 256 * MEGABYTE) == "result"


# A folder of each kind of model, of weights, and of tokenizers.
USED = [
    "multi_vector/multivector-stanford-bert",
    "rerank/rerank-qwen3-causal",
    "sparse/csr-bert",
    "sparse/splade-bert-max",
    "static/model2vec-vocabulary-int8",
    "tiny/clip-transformer",
    "tiny/deberta-v2-mean",
    "tiny/jina-v3-lora",
    "tiny/modernbert-mean",
    "tiny/nomic-v2-moe",
    "tiny/peft-bert-lora",
    "tiny/qwen3-chat-template-lasttoken",
    "tiny/t5-gated-mean",
    "tiny/xlm-roberta-cls-normalize",
]

# The compilers of regular expressions and other libraries allocate these sizes, whatever the file or the text is.
FIXED_SIZE = MEGABYTE


@pytest.mark.parametrize("name", USED)
def test_loading_and_saving_within_little_memory_ends_no_process(name: str) -> None:
    margins = random.Random(name)
    for _ in range(3):
        allowed = int(2 ** margins.uniform(16, 25))
        ended = outcome("use", MODEL, allowed, DATA / name / "model")
        assert not ended.isdigit() or int(ended) < FIXED_SIZE, (allowed, ended)
