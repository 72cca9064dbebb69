"""Memory of models of published code: of long texts, and of tasks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import tiny

LONG = """
import re, sys
from pathlib import Path
import rushlight

def status(key):
    return int(re.findall(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) * 1024

rushlight.set_num_threads(2)
model = rushlight.Model(sys.argv[1], device="cpu")
model.encode("a lamp")
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
tokens = int(sys.argv[2])
text = "a " * (tokens - 2)
assert model.count_tokens([text]) == [tokens]
model.encode(text)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak can't be measured here")
@pytest.mark.parametrize(
    "case", ["gte-new-base-en", "gte-new-logn-clip", "jina-v2-base-en", "jina-v3-lora", "nomic-v2-moe"]
)
def test_memory_is_linear_in_the_length_of_a_text(case: str, tmp_path: Path) -> None:
    shutil.copytree(tiny(case).model, tmp_path, dirs_exist_ok=True)
    settings = tmp_path / "sentence_bert_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_seq_length": 8192}))

    def peak(tokens: int) -> int:
        command = [sys.executable, "-c", LONG, str(tmp_path), str(tokens)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    # A number for each pair of tokens would be 256 MiB, even for one head.
    assert peak(8192) < 4 * peak(2048) + (32 << 20)


TASKS = """
import re, sys
from pathlib import Path
import rushlight

def resident():
    return int(re.findall(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) * 1024

model = rushlight.Model(sys.argv[1], device="cpu")
model.encode("a lamp")
before = resident()
for task in model.tasks:
    model.encode("a lamp", task=task)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory is read from /proc")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_tasks_share_the_table_of_words(dtype: str, tmp_path: Path) -> None:
    shutil.copytree(tiny("jina-v3-lora").model, tmp_path, dirs_exist_ok=True)
    words = 200_000
    weights = with_more_words(tmp_path / "model.safetensors", words, dtype)
    (tmp_path / "model.safetensors").write_bytes(weights)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": words}))
    command = [sys.executable, "-c", TASKS, str(tmp_path)]
    held = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # Five tasks need five factors of each word, of float32, and no vector of it.
    width, rank, tasks = 32, 4, 5
    assert held < 4 * words * rank * tasks + 4 * words * width


def with_more_words(file: Path, words: int, dtype: str) -> bytes:
    """Return a file of weights with zeros for more words, in another precision."""
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    count = header["roberta.embeddings.word_embeddings.parametrizations.weight.original"]["shape"][0]
    parts, end = [], 0
    for entry in header.values():
        first, last = entry["data_offsets"]
        array = np.frombuffer(data[start + first : start + last], "<f4").reshape(entry["shape"]).astype(dtype)
        if count in array.shape:
            axis = array.shape.index(count)
            array = np.concatenate([array, np.zeros_like(array.take([0] * (words - count), axis))], axis)
        parts.append(array.tobytes())
        name = {"float32": "F32", "float16": "F16"}[dtype]
        entry.update(dtype=name, shape=array.shape, data_offsets=[end, end := end + array.nbytes])
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return b"".join([len(encoded).to_bytes(8, "little"), encoded, *parts])
