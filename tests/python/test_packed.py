"""Packed weights that processes share: their memory, processes at once, and those that are killed."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, tiny

from rushlight import Model, MultiVectorModel, Reranker, SparseModel
from rushlight._jobs import packed
from rushlight._jobs.job import Job
from rushlight.exceptions import InferenceError, InvalidArgumentError, ModelNotFoundError

DTYPES = ["float32", "bfloat16", "int8"]
TEXTS = ["A small lamp.", "Bread needs yeast."]

# Prints a model's embeddings, after a line of input the private memory that it takes, and lives until its input ends.
PROCESS = """
import re, signal, sys
from pathlib import Path
import rushlight

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's job in the background ignores

def private():
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return 0
    return 1024 * sum(map(int, re.findall(r"Private_(?:Clean|Dirty):\\s+(\\d+)", rollup.read_text())))

rushlight.set_num_threads(1)
folder, dtype, packed = sys.argv[1:]
before = private()
model = rushlight.Model(folder, device="cpu", dtype=dtype, packed_folder=packed or None)
rows = model.encode(["A small lamp.", "Bread needs yeast."])
print(rows.tobytes().hex(), flush=True)
sys.stdin.readline()
print(private() - before, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model whose layers have 50 MB of weights in float32."""
    folder = tmp_path_factory.mktemp("large")
    shutil.copytree(tiny("bert-mean-normalize").model, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    sizes = {32: 512, 64: 2048}
    assert {config["hidden_size"], config["intermediate_size"]} == set(sizes)
    config.update(hidden_size=512, intermediate_size=2048, num_hidden_layers=4)
    (folder / "config.json").write_text(json.dumps(config))
    file = folder / "model.safetensors"
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    shapes = {name: [sizes.get(size, size) for size in entry["shape"]] for name, entry in header.items()}
    layers = {name: shape for name, shape in shapes.items() if ".layer.1." in name}
    shapes.update({name.replace(".1.", f".{i}."): shape for i in (2, 3) for name, shape in layers.items()})
    random = np.random.default_rng(1)
    entries, parts, end = {}, [], 0
    for name, shape in shapes.items():
        array = (random.standard_normal(shape) / 20).astype("<f4") + ("LayerNorm.weight" in name)
        parts.append(array.astype("<f4").tobytes())
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + len(parts[-1])]}
    encoded = json.dumps(entries).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write_bytes(b"".join([len(encoded).to_bytes(8, "little"), encoded, *parts]))
    return folder


@contextlib.contextmanager
def process(model: Path, dtype: str, folder: Path | str):
    command = [sys.executable, "-c", PROCESS, str(model), dtype, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.communicate()


def embedded(running: subprocess.Popen[str]) -> str:
    """Return the embeddings of a process, once it has loaded its model."""
    return running.stdout.readline().strip()


def private(running: subprocess.Popen[str]) -> int:
    """Return the private memory of a process. Mapped pages are private as long as no other process maps them."""
    running.stdin.write("\n")
    running.stdin.flush()
    return int(running.stdout.readline())


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.packed"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="private memory is read from /proc")
@pytest.mark.parametrize("dtype", DTYPES)
def test_processes_have_the_weights_in_memory_once(large: Path, dtype: str, tmp_path: Path) -> None:
    with process(large, dtype, "") as alone:
        expected, own = embedded(alone), private(alone)
    with process(large, dtype, tmp_path) as first, process(large, dtype, tmp_path) as second:
        assert embedded(first) == embedded(second) == expected
        shared = private(second)
    (file,) = files(tmp_path)
    size = file.stat().st_size
    assert own > size
    # All but int8's scales, which are copied.
    assert shared < own - 0.9 * size, (own, shared, size)
    if dtype == "float32":
        assert shared < 0.25 * size, (shared, size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_processes_that_start_at_once_write_one_file(large: Path, dtype: str, tmp_path: Path) -> None:
    expected = Model(large, device="cpu", dtype=dtype).encode(TEXTS).tobytes().hex()
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(process(large, dtype, tmp_path)) for _ in range(4)]
        assert {embedded(one) for one in running} == {expected}
        (file,) = files(tmp_path)
        if Path("/proc/self/maps").exists():
            # One process wrote, and the others waited: all map the same file.
            maps = [Path(f"/proc/{one.pid}/maps").read_text() for one in running]
            assert all(str(file) in text and "(deleted)" not in text for text in maps)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_others_take(large: Path, tmp_path: Path) -> None:
    expected = Model(large, device="cpu").encode(TEXTS)
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        with process(large, "float32", folder) as running:
            while running.poll() is None and not list(folder.glob("*.writing")):
                if files(folder):
                    break
            running.send_signal(signal.SIGKILL)
        if list(folder.glob("*.writing")):
            break
    else:
        pytest.fail("no process was killed while it wrote")
    assert files(folder) == []
    for _ in range(2):
        assert np.array_equal(Model(large, device="cpu", packed_folder=folder).encode(TEXTS), expected)
        assert len(files(folder)) == 1
        assert list(folder.glob("*.writing")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="locks of Unix")
def test_the_wait_for_another_process_can_be_interrupted(tmp_path: Path) -> None:
    import fcntl

    folder = tiny("bert-mean-normalize").model
    Model(folder, device="cpu", packed_folder=tmp_path)
    files(tmp_path)[0].unlink()
    (lock,) = tmp_path.glob("*.lock")
    with lock.open() as held, process(folder, "float32", tmp_path) as running:
        fcntl.flock(held, fcntl.LOCK_EX)
        time.sleep(2)
        assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.wait(60) != 0
        fcntl.flock(held, fcntl.LOCK_UN)
    Model(folder, device="cpu", packed_folder=tmp_path)
    assert len(files(tmp_path)) == 1


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
import rushlight
from rushlight._jobs.job import Job
from rushlight.exceptions import InferenceError
try:
    rushlight.Model(sys.argv[1], device="cpu", packed_folder=sys.argv[2])
except InferenceError as error:
    assert isinstance(error.__cause__, OSError), error
    assert sys.argv[2] in str(error), error
else:
    raise SystemExit("no error")
job = Job(sys.argv[1], options={"device": "cpu"}, shared=True)
job.start()
print(job.embed(["A small lamp.", "Bread needs yeast."]).tobytes().hex())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_a_full_disk_is_an_error_unless_nobody_asked_for_the_file(large: Path, tmp_path: Path) -> None:
    expected = Model(large, device="cpu").encode(TEXTS).tobytes().hex()
    command = [sys.executable, "-c", FULL, str(large), str(tmp_path / "packed")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == expected
    assert "packed weights are not shared" in done.stderr
    written = [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert written == [], "nothing is left"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_serves_what_it_has(tmp_path: Path) -> None:
    folder = tiny("bert-mean-normalize").model
    expected = Model(folder, device="cpu", packed_folder=tmp_path).encode(TEXTS)
    tmp_path.chmod(0o500)
    try:
        assert np.array_equal(Model(folder, device="cpu", packed_folder=tmp_path).encode(TEXTS), expected)
        with pytest.raises(InferenceError, match="denied"):
            Model(folder, device="cpu", dtype="int8", packed_folder=tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_all_kinds_take_the_folder(tmp_path: Path) -> None:
    kinds = [
        (Model, tiny("bert-mean-normalize").model),
        (Reranker, DATA / "rerank" / "rerank-bert" / "model"),
        (SparseModel, DATA / "sparse" / "splade-bert-max" / "model"),
        (MultiVectorModel, DATA / "multi_vector" / "multivector-native-bert" / "model"),
    ]
    for count, (kind, folder) in enumerate(kinds, 1):
        kind(folder, device="cpu", packed_folder=str(tmp_path))
        assert len(files(tmp_path)) == count, kind
    with pytest.raises(InvalidArgumentError, match="packed_folder"):
        Model(kinds[0][1], device="cpu", packed_folder=tmp_path, mmap=False)
    with pytest.raises(InvalidArgumentError, match="packed_folder"):
        Model(kinds[0][1], packed_folder=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="packed_folder"):
        Model(kinds[0][1], packed_folder="")


def test_copies_and_pickles_share_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = Model(tiny("bert-mean-normalize").model.resolve(), device="cpu", packed_folder="here")
    before = files(tmp_path / "here")
    other = tmp_path / "elsewhere"
    other.mkdir()
    data = pickle.dumps(model)
    monkeypatch.chdir(other)
    for twin in (pickle.loads(data), copy.copy(model), copy.deepcopy(model)):
        assert np.array_equal(twin.encode(TEXTS), model.encode(TEXTS))
    assert before == files(tmp_path / "here")
    assert list(other.iterdir()) == []


def test_workers_share_a_folder_of_their_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(packed, "_unusable", set())
    folder = str(tiny("bert-mean-normalize").model)
    for options in ({"packed_folder": None}, {"mmap": False}):
        Job(folder, options={"device": "cpu", **options}, shared=True).start()
        assert list(tmp_path.iterdir()) == []
    Job(folder, options={"device": "cpu"}).start()
    assert list(tmp_path.iterdir()) == []
    Job(folder, options={"device": "cpu", "packed_folder": tmp_path / "mine"}, shared=True).start()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    job = Job(folder, options={"device": "cpu"}, shared=True)
    job.start()
    assert files(Path(packed.folder())) != []
    assert np.array_equal(job.embed(TEXTS), Model(folder, device="cpu").encode(TEXTS))


@pytest.mark.skipif(sys.platform == "win32", reason="access rights of Unix")
def test_a_worker_does_without_a_folder_that_others_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(packed, "_unusable", set())
    folder = str(tiny("bert-mean-normalize").model)
    shared = Path(packed.folder())
    shared.mkdir()
    shared.chmod(0o777)
    job = Job(folder, options={"device": "cpu"}, shared=True)
    job.start()
    assert "packed weights are not shared" in caplog.text
    assert np.array_equal(job.embed(TEXTS), Model(folder, device="cpu").encode(TEXTS))
    assert list(shared.iterdir()) == []
    # A folder that the caller names is an error.
    with pytest.raises(InvalidArgumentError, match="packed_folder"):
        Job(folder, options={"device": "cpu", "packed_folder": shared}, shared=True).start()
    # So is a wrong model, with its own error.
    packed._unusable.clear()
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        Job(str(tmp_path / "nowhere"), options={"device": "cpu"}, shared=True).start()
