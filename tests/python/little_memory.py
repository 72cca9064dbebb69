"""A call within little memory, for test_little_memory.py: python little_memory.py CALL FOLDER BYTES.

The call "use" has the folder of another model as a fourth argument.
"""

from __future__ import annotations

import faulthandler
import re
import resource
import struct
import sys
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rushlight import Model, MultiVectorModel, Reranker, SparseEmbeddings, SparseModel, util
from rushlight.exceptions import RushlightError

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "a lamp lights the room "
MANY = [TEXT] * 2_000_000


def png(side: int) -> bytes:
    """An image of this side, whose pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def wide(rows: int) -> SparseEmbeddings:
    indptr = np.zeros(rows + 1, np.int64)
    return SparseEmbeddings(indptr, np.zeros(0, np.int32), np.zeros(0, np.float32), (rows, 2**31 - 1))


KINDS = {"rerank": Reranker, "sparse": SparseModel, "multi_vector": MultiVectorModel}


def use(folder: Path) -> None:
    """Load a model, embed texts, and save it."""
    model = KINDS.get(folder.parents[1].name, Model)(folder, device="cpu")
    texts = [TEXT, TEXT * 50]
    if isinstance(model, Reranker):
        model.predict(list(zip(texts, texts, strict=True)))
    elif isinstance(model, Model):
        model.encode(texts)
    else:
        model.encode_document(texts)
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)


# Calls by their names, of a model and an array.
CALLS: dict[str, Callable[[Model, np.ndarray], object]] = {
    # These need hundreds of megabytes.
    "a long text": lambda model, _: model.encode(TEXT * 1_000_000),
    "chunks": lambda model, _: model.chunk(TEXT * 1_000_000),
    "count": lambda model, _: model.count_tokens(TEXT * 1_000_000),
    "many texts": lambda model, _: model.encode(MANY),
    "many tokens": lambda model, _: model.tokenize(MANY),
    "a stream in one piece": lambda model, _: list(model.encode_iter(iter(MANY), chunk_size=10**9)),
    "similarity": lambda model, array: model.similarity(array, array),
    "search": lambda _, array: util.semantic_search(array, array, top_k=len(array)),
    "mining": lambda _, array: util.paraphrase_mining_embeddings(array, top_k=10_000, max_pairs=10**9),
    "dense": lambda *_: wide(1000).to_dense(),
    "an image": lambda model, _: model.encode([png(13_000)]),
    # Sizes here mean nothing.
    "batch size": lambda model, _: model.encode([TEXT] * 100, batch_size=2**62),
    "chunk size": lambda model, _: list(model.encode_iter([TEXT] * 100, chunk_size=2**62)),
    "top_k": lambda _, array: util.semantic_search(array[:100], array[:100], top_k=2**62),
}


def main() -> None:
    faulthandler.enable()
    name, folder, allowed, used_folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    # A call before has made the workers, and whatever else a process makes once.
    model = Model(folder, device="cpu")
    model.encode([TEXT])
    use(Path(folder))
    array = np.zeros((20_000, 32), np.float32)
    call = partial(use, Path(*used_folder)) if used_folder else partial(CALLS[name], model, array)
    used = int(re.findall(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))[0]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (used + allowed, used + allowed))
    try:
        call()
        print("result")
    except MemoryError:
        print("MemoryError")
    except RushlightError as error:
        print(type(error).__name__)


if __name__ == "__main__":
    main()
