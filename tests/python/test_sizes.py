"""Sizes that a caller or a file chooses: an error, never an abort."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import DATA, tiny

from rushlight import Model
from rushlight.exceptions import InvalidArgumentError, ModelFormatError, OutOfMemoryError, RushlightError

GIB = 1 << 30


def child(code: str, *arguments: object, memory: int | None = None) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, whose memory is limited."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))\n" if memory else ""
    command = [sys.executable, "-c", limit + code, *map(str, arguments)]
    # Each of malloc's arenas reserves addresses, which the limit counts.
    environment = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


def bert(tmp_path: Path, **parts: object) -> Path:
    """A small BERT with parts of its tokenizer.json replaced."""
    folder = tmp_path / "model"
    shutil.copytree(tiny("bert-mean-normalize").model, folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | parts), encoding="utf-8")
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    config.write_text(json.dumps(settings | {"tokenizer_class": "PreTrainedTokenizerFast"}), encoding="utf-8")
    return folder


def test_memory_that_lacks_is_a_memory_error() -> None:
    assert issubclass(OutOfMemoryError, MemoryError)
    assert issubclass(OutOfMemoryError, RushlightError)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are the system's own")
@pytest.mark.parametrize(
    "call",
    [
        "m.encode(['a'] * 12_000_000)",
        "m.similarity(np.zeros((100_000, 1), 'f'), np.zeros((100_000, 1), 'f'))",
        "util.quantize_embeddings(np.broadcast_to(np.float32(1), (1_200_000, 300)), 'int8')",
    ],
)
def test_results_that_do_not_fit(call: str) -> None:
    code = f"""
import sys
import numpy as np
from rushlight import Model, util
m = Model(sys.argv[1])
try:
    {call}
except MemoryError:
    print("no memory")
"""
    done = child(code, tiny("bert-mean-normalize").model, memory=3 * GIB // 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no memory\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are the system's own")
def test_a_text_whose_activations_do_not_fit() -> None:
    code = """
import re
import resource
import sys
from pathlib import Path
from rushlight import Model
from rushlight.exceptions import OutOfMemoryError
model = Model(sys.argv[1], device="cpu")
model.max_seq_length = 2_000_000
before = model.encode("A lamp.")
size = int(re.findall(r"VmSize:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[0]) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + (600 << 20), -1))
try:
    model.encode("a " * 1_000_000)
except OutOfMemoryError as error:
    print(error)
assert (model.encode("A lamp.") == before).all()
"""
    done = child(code, tiny("t5-mean-dense-normalize").model)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"no memory for activations of 100\d{4} tokens: \d+ bytes\n", done.stdout), done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are the system's own")
@pytest.mark.parametrize("columns", [1 << 20, (1 << 20) + 1, 10**9, 10**12, 2**62])
def test_sparse_rows_of_any_width_are_compared(columns: int) -> None:
    code = """
import sys
from rushlight import SparseEmbeddings, SparseModel
model = SparseModel(sys.argv[1])
a = SparseEmbeddings([0, 2, 3], [0, 7, 1], [1.0, 2.0, 5.0], (2, int(sys.argv[2])))
print(model.similarity(a, a).tolist())
"""
    done = child(code, DATA / "sparse" / "splade-bert-max" / "model", columns, memory=GIB)
    assert (done.stdout, done.stderr) == ("[[5.0, 0.0], [0.0, 25.0]]\n", "")


TWICE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}


LONGER = {"type": "Prepend", "prepend": "a" * 1000}


@pytest.mark.parametrize("steps", [[TWICE] * 40, [LONGER] * 10, [TWICE, {"type": "NFC"}] * 20])
def test_a_text_that_grows_without_end_is_named(steps: list[dict[str, object]], tmp_path: Path) -> None:
    model = Model(bert(tmp_path, normalizer={"type": "Sequence", "normalizers": steps}))
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]: the tokenizer makes more than \d+ bytes of it"):
        model.encode(["", "a lamp"])
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]: the tokenizer makes more than"):
        model.count_tokens(["", "a lamp"])


def test_a_text_may_grow_as_published_normalizers_make_it(tmp_path: Path) -> None:
    steps = [{"type": "Prepend", "prepend": "a"}, {"type": "Replace", "pattern": {"String": "a"}, "content": " the "}]
    model = Model(bert(tmp_path, normalizer={"type": "Sequence", "normalizers": steps}))
    assert (model.encode(["aaaa"]) == tiny_model().encode(["the " * 5])).all()


def tiny_model() -> Model:
    return Model(tiny("bert-mean-normalize").model)


def test_other_sizes_are_refused_by_key(tmp_path: Path) -> None:
    bytes_again = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    again = {"type": "Sequence", "pretokenizers": [bytes_again] * 40}
    with pytest.raises(ModelFormatError, match="pre_tokenizer: must have at most 4 ByteLevel and Metaspace steps"):
        Model(bert(tmp_path, pre_tokenizer=again))


@pytest.mark.parametrize("pattern", [r"\s+(?!\S)|\s+", r" ?\p{L}+|\s+(?!\S)|\s+"])
@pytest.mark.parametrize("behavior", ["Removed", "Isolated"])
@pytest.mark.parametrize("blanks", [999_998, 1_000_000, 3_000_000])
def test_words_count_after_any_number_of_blanks(pattern: str, behavior: str, blanks: int, tmp_path: Path) -> None:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}
    model = Model(bert(tmp_path, normalizer=None, pre_tokenizer=split))
    few, many = model.count_tokens([" " * 10 + "the a", " " * blanks + "the a"])
    assert few == many
    few, many = model.encode([" " * 10 + "the a", " " * blanks + "the a"])
    # A run of blanks is one unknown word, however long.
    assert (few == many).all()


def test_a_pattern_that_gives_up_names_the_text(tmp_path: Path) -> None:
    split = {"type": "Split", "pattern": {"Regex": r"\s+(?=a)|\s"}, "behavior": "Isolated", "invert": False}
    model = Model(bert(tmp_path, normalizer=None, pre_tokenizer=split))
    with pytest.raises(InvalidArgumentError, match=r"inputs\[1\]: the tokenizer's pattern .* gives up"):
        model.encode(["the", " " * 3_000_000 + "the a"])


# A charsmap whose trie points nowhere, on which the tokenizers crate panics.
CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": "BAAAAAH///8="}


def test_a_panic_that_becomes_an_error_prints_nothing(tmp_path: Path) -> None:
    code = """
import sys
from rushlight import Model
from rushlight.exceptions import InvalidArgumentError
try:
    Model(sys.argv[1]).encode(["the"])
except InvalidArgumentError as error:
    print(error)
"""
    done = child(code, bert(tmp_path, normalizer=CHARSMAP, added_tokens=[]))
    assert done.stdout.startswith("inputs[0]: the tokenizers crate can't read it: "), done
    assert done.stderr == ""
