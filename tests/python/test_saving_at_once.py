"""Processes that save to one folder, load it meanwhile, or are killed: it is one model's, whole, or an error."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cases import tiny

from rushlight import Model
from rushlight.exceptions import InferenceError, ModelFormatError, ModelNotFoundError

# Of the same shapes: of mixed files something would come out, too.
FOLDERS = [tiny("bert-mean-normalize").model, tiny("bert-cls-normalize-prompts").model]
TEXTS = ["A lamp lights the room.", "It is small, and the whole of the town."]

# Saves two models in turn until it is killed, in its own folder or in a new one each time.
SAVES = f"""
import itertools, sys
from rushlight import Model
models = [Model(folder) for folder in {[str(folder) for folder in FOLDERS]!r}]
for i, model in enumerate(itertools.cycle(models)):
    model.save_pretrained(sys.argv[1].format(i))
    if i < 2:
        print("saved", flush=True)
"""


@contextlib.contextmanager
def saving(path: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Save all the time, in a process of its own."""
    command = [sys.executable, "-c", SAVES, path]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(2):
                assert process.stdout is not None
                assert process.stdout.readline() == "saved\n"
            yield process
        finally:
            process.kill()


def embedded(folder: Path) -> np.ndarray:
    return Model(folder).encode(TEXTS)


@pytest.fixture(scope="module")
def expected() -> list[np.ndarray]:
    return [embedded(folder) for folder in FOLDERS]


def is_one(vectors: np.ndarray, expected: list[np.ndarray]) -> bool:
    return any(np.array_equal(vectors, one) for one in expected)


def saving_folders(folder: Path) -> list[Path]:
    return [path for place in (folder, folder.parent) for path in place.iterdir() if ".saving" in path.name]


def moment(folder: Path) -> None:
    """Wait for a random moment of a save."""
    start = time.perf_counter()
    Model(FOLDERS[0]).save_pretrained(folder)
    time.sleep(random.random() * 2 * (time.perf_counter() - start))


# The folder that a process is in stays where it is: files are moved into it.
@pytest.mark.parametrize("within", [False, True])
def test_a_killed_save_leaves_the_old_model_or_the_new_one(
    tmp_path: Path, expected: list[np.ndarray], within: bool
) -> None:
    folder = tmp_path / "model"
    Model(FOLDERS[0]).save_pretrained(folder)
    (folder / "notes.txt").write_text("mine")
    for _ in range(6):
        number = folder.stat().st_ino
        with saving("." if within else "model", cwd=folder if within else tmp_path):
            moment(tmp_path / "other")
        assert is_one(embedded(folder), expected)
        assert not within or folder.stat().st_ino == number
        Model(FOLDERS[0]).save_pretrained(folder)
        assert np.array_equal(embedded(folder), expected[0])
        assert (folder / "notes.txt").read_text() == "mine"
        assert not saving_folders(folder)


def test_a_killed_save_leaves_no_part_of_a_new_folder(tmp_path: Path, expected: list[np.ndarray]) -> None:
    for i in range(6):
        folders = tmp_path / str(i)
        folders.mkdir()
        with saving("model-{}", cwd=folders):
            moment(tmp_path / "other")
        saved = list(folders.glob("model-*"))
        assert len(saved) >= 2
        for folder in saved:
            assert is_one(embedded(folder), expected)
        left = [folders / path.name.removeprefix(".").removesuffix(".saving") for path in folders.glob(".*.saving")]
        for folder in left:
            Model(FOLDERS[0]).save_pretrained(folder)
        assert not list(folders.glob(".*"))


@pytest.mark.skipif(sys.platform == "win32", reason="replaces no file that is mapped")
@pytest.mark.parametrize("within", [False, True])
def test_two_processes_save_while_a_third_loads(tmp_path: Path, expected: list[np.ndarray], within: bool) -> None:
    folder = tmp_path / "model"
    Model(FOLDERS[0]).save_pretrained(folder)
    path, cwd = (".", folder) if within else ("model", tmp_path)
    good = 0
    with saving(path, cwd), saving(path, cwd):
        for _ in range(30):
            # They never end: now and then a load gives up.
            with contextlib.suppress(ModelFormatError):
                assert is_one(embedded(folder), expected)
                good += 1
    assert good > 10
    Model(FOLDERS[1]).save_pretrained(folder)
    assert np.array_equal(embedded(folder), expected[1])
    assert not saving_folders(folder)


def test_the_folder_that_a_process_is_in_stays_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(FOLDERS[0], tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    (tmp_path / "within").mkdir()
    monkeypatch.chdir(tmp_path / "within")
    model = Model("..")
    model.max_seq_length = 20
    for _ in range(2):
        model.save_pretrained("..")
    assert Path.cwd() == tmp_path / "within"
    assert Model("..").max_seq_length == 20


FULL = f"""
import resource, signal, sys
from rushlight import Model
from rushlight.exceptions import InferenceError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model = Model({str(FOLDERS[1])!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    model.save_pretrained(sys.argv[1])
except InferenceError as error:
    assert isinstance(error.__cause__, OSError) and ".saving" not in str(error), error
    print("refused")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of files")
def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(
    tmp_path: Path, expected: list[np.ndarray]
) -> None:
    def refused(path: str, cwd: Path) -> bool:
        command = [sys.executable, "-c", FULL, path]
        return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout == "refused\n"

    assert refused("above/new", tmp_path)
    assert not list(tmp_path.iterdir())
    folder = tmp_path / "model"
    Model(FOLDERS[0]).save_pretrained(folder)
    for path, cwd in ((str(folder), tmp_path), (".", folder)):
        assert refused(path, cwd)
        assert np.array_equal(embedded(folder), expected[0])
        assert not saving_folders(folder)


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


@pytest.mark.skipif(sys.platform != "linux", reason="needs a small file system to fill")
def test_a_disk_that_fills_leaves_the_old_model_or_the_new_one(tmp_path: Path, expected: list[np.ndarray]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        folder, rest = disk / "model", disk / "rest"
        Model(FOLDERS[0]).save_pretrained(folder)
        page, size = os.statvfs(disk).f_bsize, sum(path.stat().st_size for path in folder.rglob("*"))
        refused: list[InferenceError] = []
        for free in [0, *(random.randrange(0, 2 * size, page) for _ in range(20))]:
            rest.write_bytes(bytes(free_bytes(disk) - free))
            try:
                Model(FOLDERS[1]).save_pretrained(folder)
            except InferenceError as error:
                refused.append(error)
                assert np.array_equal(embedded(folder), expected[0])
            assert is_one(embedded(folder), expected)
            assert not saving_folders(folder)
            rest.unlink()
            Model(FOLDERS[0]).save_pretrained(folder)
            assert np.array_equal(embedded(folder), expected[0])
        assert 0 < len(refused) < 21
        assert all(isinstance(error.__cause__, OSError) for error in refused)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_load_without_any_right_to_end_a_save_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    Model(FOLDERS[0]).save_pretrained(folder)
    work = folder / ".saving"
    work.mkdir()
    (work / "moves.json").write_text('{"removed": []}')
    # What is in the place of the lock's file can't be opened.
    (work / "lock").mkdir()
    with pytest.raises(ModelFormatError, match="holds an interrupted save"):
        Model(folder)
    shutil.rmtree(work)
    Model(folder)
    shutil.rmtree(folder)
    with pytest.raises(ModelNotFoundError):
        Model(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_above_that_cannot_be_written(tmp_path: Path, expected: list[np.ndarray]) -> None:
    folder = tmp_path / "above" / "model"
    Model(FOLDERS[0]).save_pretrained(folder)
    folder.parent.chmod(0o500)
    try:
        Model(FOLDERS[1]).save_pretrained(folder)
        assert np.array_equal(embedded(folder), expected[1])
        with pytest.raises(Exception, match="above") as raised:
            Model(FOLDERS[1]).save_pretrained(folder.parent / "new")
        assert isinstance(raised.value.__cause__, PermissionError)
        assert [path.name for path in folder.parent.iterdir()] == ["model"]
    finally:
        folder.parent.chmod(0o700)
