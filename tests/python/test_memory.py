"""What a call holds at most."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cases import real, tiny

PEAK = """
import re, sys
from pathlib import Path
import rushlight

def status(key):
    return int(re.findall(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) * 1024

rushlight.set_num_threads(2)
model = rushlight.Model(sys.argv[1], device="cpu")
texts = [f"text number {i} of very many" for i in range(100_000)]
model.encode(texts[:5000])
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
embeddings = model.encode(texts, batch_size=int(sys.argv[2]))
print(status("VmHWM") - before - embeddings.nbytes)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak can't be measured here")
@pytest.mark.parametrize("batch_size", [32, 100_000])
def test_a_call_holds_no_more_than_is_said(batch_size: int) -> None:
    command = [sys.executable, "-c", PEAK, str(tiny("bert-mean-normalize").model), str(batch_size)]
    held = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    threads, texts, hidden, intermediate, tokens = 2, 100_000, 32, 64, 512
    said = 200 * texts + threads * 4 * tokens * (8 * hidden + 2 * intermediate)
    # What the allocator rounds up and keeps. All texts at once would be gigabytes.
    assert held < said + (16 << 20)


LOADED = """
import re, sys
from pathlib import Path
import rushlight

def resident():
    return int(re.findall(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[0])

before = resident()
model = rushlight.Model(sys.argv[1], device="cpu", dtype=sys.argv[2])
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_lower_precisions_take_less_memory() -> None:
    def held(dtype: str) -> int:
        command = [sys.executable, "-c", LOADED, str(real("all-mpnet-base-v2").model), dtype]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    whole = held("float32")
    assert held("bfloat16") < 0.55 * whole
    assert held("int8") < 0.35 * whole
