"""Calls whose memory is limited: a result or an error. No size that a caller chooses ends the process."""

from __future__ import annotations

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


def outcome(call: str, folder: Path, allowed: int) -> str:
    """Return the result or the error of a call, or the size in bytes of the allocation that ended the process."""
    command = [sys.executable, str(PROGRAM), call, str(folder), str(allowed)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
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
