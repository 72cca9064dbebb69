"""Embedding of texts by several heads of a model, and their output with a field per kind."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from rushlight._cli import embedding, folders, writing
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rushlight import HybridEmbeddings, Model
    from rushlight._cli.reading import Files
    from rushlight._cli.writers import Values

KINDS = ("dense", "sparse", "multi_vector")


def check(arguments: argparse.Namespace) -> None:
    """Check that the options agree with `--kinds`."""
    if arguments.kind != "dense":
        raise InvalidArgumentError(f"--kind {arguments.kind}: is for one kind, without --kinds")
    if arguments.precision != "float32":
        raise InvalidArgumentError(f"--precision {arguments.precision}: is for dense embeddings alone, without --kinds")
    for name in ("chunk", "resume"):
        if getattr(arguments, name):
            raise InvalidArgumentError(f"--{name}: is for dense embeddings alone, without --kinds")
    if folders.is_folder(arguments):
        raise InvalidArgumentError("--kinds: writes one file, not a folder")


def write(arguments: argparse.Namespace, files: Files) -> None:
    """Embed texts and write a field per kind; the last kind is what the writers take for the embedding."""
    *others, last = [kind for kind in KINDS if kind in arguments.kinds]
    model = embedding.load(arguments)
    like = getattr(model.encode_all([""], kinds=last), last)
    like = [like[0][:0]] if last == "multi_vector" else like[:0]
    writing.write(arguments, last, like, files.places, _chunks(model, files, arguments, others, last))


def _chunks(
    model: Model, files: Files, arguments: argparse.Namespace, others: list[str], last: str
) -> Iterator[tuple[list[dict[str, Any]], Values]]:
    """Yield the fields of texts, with those of all kinds but the last, and the embeddings of that one."""
    records = files.records()
    with embedding.bar_of(files, shown=embedding.shows_progress(arguments)) as tell:
        for chunk in iter(lambda: list(islice(records, arguments.chunk_size)), []):
            with embedding.named([record.place for record in chunk]):
                embeddings = model.encode_all(
                    [record.text for record in chunk],
                    kinds=[*others, last],
                    normalize_embeddings=arguments.normalize,
                    truncation=arguments.truncation,
                    show_progress_bar=False,
                    **embedding.prompts(arguments),
                )
            fields = [_joined(record.fields, _fields(embeddings, others, i)) for i, record in enumerate(chunk)]
            yield fields, getattr(embeddings, last)
            tell(len(chunk))


def _joined(fields: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    twice = set(fields).intersection(added)
    if twice:
        raise InvalidInputError(f"field {min(twice)!r}: is in the texts already, and would be overwritten")
    return fields | added


def _fields(embeddings: HybridEmbeddings, kinds: list[str], i: int) -> dict[str, Any]:
    """Return the embeddings of text `i` as values of JSON."""
    fields: dict[str, Any] = {}
    if "dense" in kinds and embeddings.dense is not None:
        fields["dense"] = _numbers(embeddings.dense[i])
    if "sparse" in kinds and embeddings.sparse is not None:
        row = embeddings.sparse[i]
        fields["sparse"] = {"indices": row.indices.tolist(), "values": _numbers(row.values)}
    return fields


def _numbers(row: Any) -> list[float]:
    """Return numbers of float32 in as few digits as represent them exactly."""
    return [float(f"{x:.9g}") for x in row.tolist()]
