"""The tests' data: small, and nothing in it twice."""

import json

from cases import DATA
from generator import storage

STORED = storage.DATA


def test_equal_files_are_stored_once():
    shareable = [[file for file in files if not file.startswith(storage.WHOLE)] for files in storage.equal_files()]
    assert [files for files in shareable if len(files) > 1] == []
    shared = json.loads((STORED / storage.SHARED).read_text(encoding="utf-8"))
    assert shared
    for path, source in shared.items():
        assert (DATA / path).read_bytes() == (STORED / source).read_bytes()
        assert not path.startswith(storage.WHOLE)


def test_the_data_is_below_32_megabytes():
    files = [file for file in STORED.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in files) < 32e6
