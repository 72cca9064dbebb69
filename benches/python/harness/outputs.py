"""Write what the tests' models compute into a file: `python -m harness.outputs FILE.npz KIND...`.

`compare` runs it with each wheel. A kind is a folder below `tests/data`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Call = tuple[str, Sequence[Any]]
    """Name of a call, and the arrays that it returns."""

DATA = paths.ROOT / "tests/data"


def main() -> None:
    """Compute with the installed wheel."""
    file, *kinds = sys.argv[1:]
    with tempfile.TemporaryDirectory() as data:
        _unpack(Path(data))
        np.savez(file, **dict(outputs(Path(data), kinds)))


def _unpack(data: Path) -> None:
    """Copy the tests' data, and put the files into their places that are stored once, if there are any."""
    shutil.copytree(DATA, data, dirs_exist_ok=True)
    shared = data / "shared.json"
    for path, source in json.loads(shared.read_text(encoding="utf-8")).items() if shared.exists() else ():
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / source, data / path)


def outputs(data: Path, kinds: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of all cases, named KIND/CASE/CALL/NUMBER."""
    for kind in kinds:
        for case in sorted((data / kind).iterdir()):
            for call, arrays in _calls(kind, case):
                for number, array in enumerate(arrays):
                    yield f"{kind}/{case.name}/{call}/{number}", array


def _calls(kind: str, case: Path) -> Iterator[Call]:
    """Yield a case's calls; the first that fails ends it."""
    import rushlight

    folder = paths.MODELS / case.name if kind == "real" else case / "model"
    if not folder.is_dir():
        print(f"{kind}/{case.name} is left out: {folder} is not there", file=sys.stderr)
        return
    name, compute = KINDS[kind]
    try:
        model = getattr(rushlight, name)(folder)
        yield from compute(model, json.loads((case / "texts.json").read_text(encoding="utf-8")))
    except rushlight.exceptions.RushlightError as error:  # of a wheel that is too old for the case, say
        print(f"{kind}/{case.name}: {error}", file=sys.stderr)


def _dense(model: Any, texts: list[str]) -> Iterator[Call]:
    yield "tokenize", list(model.tokenize(texts).values())
    yield "encode", [model.encode(texts)]
    yield "encode_query", [model.encode_query(texts)]
    yield "encode_document", [model.encode_document(texts)]
    yield "token_embeddings", model.encode(texts, output_value="token_embeddings")


def _real(model: Any, texts: list[str]) -> Iterator[Call]:
    yield "encode", [model.encode(texts)]


def _sparse(model: Any, texts: list[str]) -> Iterator[Call]:
    for name, encode in {"encode_query": model.encode_query, "encode_document": model.encode_document}.items():
        embeddings = encode(texts)
        yield name, [embeddings.indptr, embeddings.indices, embeddings.values]


def _rerank(model: Any, pairs: list[tuple[str, str]]) -> Iterator[Call]:
    yield "predict", [model.predict(pairs)]


def _multi_vector(model: Any, texts: list[str]) -> Iterator[Call]:
    queries, documents = model.encode_query(texts), model.encode_document(texts)
    yield "encode_query", queries
    yield "encode_document", documents
    yield "similarity", [model.similarity(queries, documents)]


KINDS = {
    "tiny": ("Model", _dense),
    "real": ("Model", _real),
    "sparse": ("SparseModel", _sparse),
    "rerank": ("Reranker", _rerank),
    "multi_vector": ("MultiVectorModel", _multi_vector),
}

if __name__ == "__main__":
    main()
