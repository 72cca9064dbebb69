"""`info` and `download`: what there is, before any text is embedded."""

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

# Of a folder that several can load, the first is right: what loads as it says more than the others.
_KINDS = (MultiVectorModel, Model, Reranker, SparseModel)
_SHOWN = (
    "embedding_dimension", "max_seq_length", "query_length", "document_length", "num_labels", "max_length",
    "activation_fn", "similarity_fn_name", "truncate_dim", "prompts", "default_prompt_name", "device",
)  # fmt: skip


def info() -> argparse.ArgumentParser:
    """Return what the command takes."""
    command = options.command(
        "info",
        _info,
        words="[MODEL]",
        says="Tell of this rushlight and machine, or of a model.",
        examples="rushlight info\nrushlight info all-MiniLM-L6-v2 --json",
    )
    command.add_argument("model", metavar="MODEL", nargs="?", help="a model's folder, or its name on the hub")
    command.add_argument("--json", action="store_true", help="one line of JSON")
    options.add_source(command)
    return command


def download() -> argparse.ArgumentParser:
    """Return what the command takes."""
    command = options.command(
        "download",
        _download,
        words="MODEL ...",
        says="Download models, and print their folders.",
        more="What is there whole is used as it is. A name without a / is one of sentence-transformers' own.",
        examples="rushlight download all-MiniLM-L6-v2\n"
        "rushlight download cross-encoder/ms-marco-MiniLM-L6-v2 --cache-folder models",
    )
    command.add_argument("models", metavar="MODEL", nargs="+", help="a model's name on the hub")
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
    return _source.find(name, "sentence-transformers", token=None, **options.source(arguments))


def _of_model(folder: Path) -> dict[str, Any]:
    refused: dict[type, UnsupportedModelError] = {}
    for kind in _KINDS:
        try:
            model: Any = kind(folder)
        except UnsupportedModelError as error:
            refused[kind] = error
            continue
        shown = {name: getattr(model, name) for name in _SHOWN if hasattr(model, name)}
        return {"kind": kind.__name__, "folder": folder, **shown}
    raise refused[Model]
