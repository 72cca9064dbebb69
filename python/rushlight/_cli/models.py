"""The commands `info` and `download`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import rushlight
from rushlight import Model, MultiVectorModel, Reranker, SparseModel, _source
from rushlight._cli import options, streams
from rushlight.exceptions import UnsupportedModelError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

# If several classes can load a folder, the first is right: it is the most specific. A folder of sentence embeddings
# with other heads, such as bge-m3's, is a `Model`.
_KINDS = (MultiVectorModel, Model, Reranker, SparseModel)
_SHOWN = (
    "embedding_dimension", "max_seq_length", "query_length", "document_length", "num_labels", "max_length",
    "activation_fn", "embedding_kinds", "similarity_fn_name", "truncate_dim", "prompts",
    "default_prompt_name", "device",
)  # fmt: skip


def info() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "info",
        _info,
        words="[MODEL]",
        says="Show the version, devices and CPU features, or details of a model.",
        examples="rushlight info\nrushlight info all-MiniLM-L6-v2 --json",
    )
    command.add_argument("model", metavar="MODEL", nargs="?", help="folder of a model, or its name on the hub")
    command.add_argument("--json", action="store_true", help="print one line of JSON")
    options.add_source(command)
    return command


def download() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "download",
        _download,
        words="MODEL ...",
        says="Download models, and print their folders.",
        more="A model that is complete in the cache is not downloaded again. A name without a / belongs to\n"
        "sentence-transformers.",
        examples="rushlight download all-MiniLM-L6-v2\n"
        "rushlight download cross-encoder/ms-marco-MiniLM-L6-v2 --cache-folder models",
    )
    command.add_argument("models", metavar="MODEL", nargs="+", help="name of a model on the hub")
    options.add_source(command)
    return command


def _info(arguments: argparse.Namespace) -> None:
    told = rushlight.info() if arguments.model is None else _of_model(_find(arguments, arguments.model))
    if arguments.json:
        streams.say(json.dumps(told, ensure_ascii=False, default=str))
        return
    for name, value in told.items():
        streams.say(f"{name}: {_readable(value)}")


def _readable(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _download(arguments: argparse.Namespace) -> None:
    for name in arguments.models:
        streams.say(str(_find(arguments, name)))
        streams.flush()


def _find(arguments: argparse.Namespace, name: str) -> Path:
    return _source.find(name, "sentence-transformers", **options.source(arguments))


def _of_model(folder: Path) -> dict[str, Any]:
    refused: dict[type, UnsupportedModelError] = {}
    for kind in _KINDS:
        try:
            model: Any = kind(folder)
        except UnsupportedModelError as error:
            refused[kind] = error
            continue
        if isinstance(model, MultiVectorModel) and model._engine.is_of_sentence_model:
            continue
        shown = {name: getattr(model, name) for name in _SHOWN if hasattr(model, name)}
        return {"kind": kind.__name__, "folder": folder, **shown}
    raise refused[Model]
