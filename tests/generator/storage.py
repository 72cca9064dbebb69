"""Files of the same bytes are stored once; `shared.json` says of which file each of the others is a copy."""

import json
import shutil
from itertools import groupby
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
SHARED = "shared.json"
KINDS = ["tiny", "rerank", "sparse", "multi_vector", "hybrid", "routes", "static", "real"]
# Examples take these folders as they are, and the crate's package has their models.
WHOLE = (
    "tiny/bert-mean-normalize/",
    "rerank/rerank-bert/model/",
    "sparse/splade-bert-max/model/",
    "multi_vector/multivector-native-bert/model/",
    "hybrid/bgem3-heads/model/",
)


def write_json(file, value):
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(file):
    return json.loads(file.read_text(encoding="utf-8"))


def unpack(data):
    """Put all copies into their places in a folder that has the rest."""
    for path, source in json.loads((data / SHARED).read_text(encoding="utf-8")).items():
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / source, data / path)
    (data / SHARED).write_text("{}\n", encoding="utf-8")


def pack():
    """Keep one of the files that are equal."""
    shared = {}
    for files in equal_files():
        source, *copies = sorted(files, key=lambda file: (not file.startswith(WHOLE), file))
        shared |= dict.fromkeys([copy for copy in copies if not copy.startswith(WHOLE)], source)
    for path in shared:
        (DATA / path).unlink()
    for folder in sorted(DATA.glob("*/**/"), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    (DATA / SHARED).write_text(json.dumps(dict(sorted(shared.items())), indent=0) + "\n", encoding="utf-8")


def equal_files():
    """Lists of files with the same bytes."""
    files = [file for kind in KINDS for file in (DATA / kind).rglob("*") if file.is_file()]
    contents = sorted((file.read_bytes(), file.relative_to(DATA).as_posix()) for file in files)
    return [[file for _, file in equal] for _, equal in groupby(contents, key=lambda pair: pair[0])]
