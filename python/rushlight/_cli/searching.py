"""The command `search`, which finds the nearest texts or images to a query."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import util
from rushlight._cli import embedding, images, options, reading, results, streams
from rushlight._cli.reading import Record
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rushlight import Model
    from rushlight._cli.reading import Records, Source

_MORE = """\
CORPUS is a file of texts, a folder of images for models such as CLIP, or an npy file of embeddings that encode wrote in
float32, binary or ubinary. An npy file is
memory-mapped, and --texts gives the texts to show. Binary embeddings only find candidates; these are scored again, with
the float32 embeddings of --rescore if given. Without QUERY, queries come from --queries, or from stdin, where each is
answered at once. Queries and texts get the model's prompts for queries and documents.\
"""
_EXAMPLES = """\
rushlight search all-MiniLM-L6-v2 corpus.txt "a light in a room" "money"
rushlight search all-MiniLM-L6-v2 corpus.npy --texts corpus.txt --top-k 3 --jsonl < queries.txt
rushlight search all-MiniLM-L6-v2 bits.npy --rescore corpus.npy --texts corpus.txt "a light in a room"
rushlight search all-MiniLM-L6-v2 corpus.jsonl --field body --queries queries.txt
rushlight search clip-ViT-B-32 photos 'two dogs in the snow'"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "search",
        _run,
        words="MODEL CORPUS [QUERY ...]",
        says="Find the nearest texts or images to a query.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(command)
    command.add_argument(
        "corpus", metavar="CORPUS", help="file of texts, - for stdin, folder of images, or npy of embeddings"
    )
    command.add_argument("query", metavar="QUERY", nargs="*", help="text to search for")
    command.add_argument("--queries", metavar="FILE", help='file of queries, in the field "text" unless txt')
    command.add_argument("--texts", metavar="FILE", help="file of the texts of an npy CORPUS, in its order")
    command.add_argument("--rescore", metavar="NPY", help="float32 embeddings of a binary CORPUS")
    command.add_argument(
        "--top-k", metavar="N", type=options.positive, default=10, help="number of results per query (default: 10)"
    )
    results.add_options(command)
    command.add_argument("--query-prompt", metavar="TEXT", help="prompt of queries (default: the model's)")
    command.add_argument(
        "--document-prompt", metavar="TEXT", help="prompt of the texts of CORPUS (default: the model's)"
    )
    reading.add_options(command)
    embedding.add_similarity(command)
    embedding.add_options(command)
    return command


def _run(arguments: argparse.Namespace) -> None:
    ready = Path(arguments.corpus).suffix.lower() == ".npy"
    _check(arguments, ready=ready)
    path = arguments.texts if ready else arguments.corpus
    pictures = images.Folder(path) if path and Path(path).is_dir() else None
    with ExitStack() as opened:
        asked = None if arguments.query else opened.enter_context(reading.source(arguments.queries or "-"))
        source: Records | None = pictures
        if path and source is None:
            source = opened.enter_context(reading.source(path, **reading.options(arguments)))
        model = embedding.load(arguments)
        if pictures is not None:
            images.check(model, path)
        records = list(source.records()) if source else []
        texts = [record.fields[images.FIELD] if pictures else record.text for record in records]
        how = {"score_function": embedding.score_function(model), "top_k": arguments.top_k}
        if ready:
            corpus = _ready(arguments.corpus)
            _check_texts(arguments, texts, corpus)
            how["corpus_precision"] = _precision(arguments.corpus, corpus, model)
            how["rescore_embeddings"] = _ready(arguments.rescore) if arguments.rescore else None
        else:
            corpus = embedding.embed(model, records, arguments, role="document", prompt=arguments.document_prompt)
        given = [[Record(query, {}, "QUERY") for query in arguments.query]]
        for asked_for in _chunks(asked) if asked else given:
            queries = [record.text for record in asked_for]
            prompt = arguments.query_prompt
            embeddings = embedding.embed(model, asked_for, arguments, role="query", prompt=prompt, bar=False)
            found = util.semantic_search(embeddings, corpus, **how)
            for query, hits in zip(queries, found, strict=True):
                _say(query, hits, texts, as_json=arguments.jsonl)
            streams.flush()


def _check(arguments: argparse.Namespace, *, ready: bool) -> None:
    """Check that the options agree."""
    if arguments.query and arguments.queries:
        raise InvalidArgumentError("--queries: QUERY is given, too")
    if arguments.corpus == "-" and not arguments.query and arguments.queries in {None, "-"}:
        raise InvalidArgumentError("stdin: can't be both CORPUS and the queries")
    if arguments.texts == "-" and not arguments.query and arguments.queries in {None, "-"}:
        raise InvalidArgumentError("stdin: can't be both --texts and the queries")
    for option in ("texts", "rescore"):
        if getattr(arguments, option) and not ready:
            raise InvalidArgumentError(f"--{option}: is for an npy of embeddings, not for {arguments.corpus}")
    if ready and not arguments.texts and (arguments.format or arguments.field):
        raise InvalidArgumentError("--format and --field: are for texts; give them with --texts")
    if ready and arguments.document_prompt is not None:
        raise InvalidArgumentError("--document-prompt: the corpus is embedded already")


def _ready(path: str) -> NDArray[Any]:
    """Return the memory-mapped embeddings of an npy file."""
    try:
        # Unlike np.load, it accepts no other format, such as npz.
        embeddings: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError) as error:
        raise InvalidInputError(f"{path}: must be an npy: {error}") from error
    return embeddings


def _precision(path: str, corpus: NDArray[Any], model: Model) -> str:
    """Return the precision of an npy file by its dtype and width."""
    columns = model.embedding_dimension
    if corpus.ndim == 2 and corpus.dtype.kind == "f":
        return "float32"
    if corpus.shape[1:] == (-(-columns // 8),) and corpus.dtype in {np.dtype("int8"), np.dtype("uint8")}:
        return "ubinary" if corpus.dtype == np.uint8 else "binary"
    problem = f"must be floats or bits of {columns} columns (int8 and uint8 need ranges, which an npy lacks)"
    raise InvalidInputError(f"{path}: {problem}, got {corpus.dtype} of shape {corpus.shape}")


def _check_texts(arguments: argparse.Namespace, texts: list[str], corpus: NDArray[Any]) -> None:
    if arguments.texts and len(texts) != len(corpus):
        raise InvalidInputError(f"{arguments.texts}: must have a text for each of {len(corpus)} rows, has {len(texts)}")


def _chunks(asked: Source) -> Iterator[list[Record]]:
    """Yield queries: many at a time from a file, one at a time from a pipe or terminal."""
    records = asked.records()
    while chunk := list(islice(records, 1000 if asked.file.seekable() else 1)):
        yield chunk


def _say(query: str, hits: list[dict[str, Any]], texts: list[str], *, as_json: bool) -> None:
    if texts:
        hits = [{**hit, "text": texts[hit["corpus_id"]]} for hit in hits]
    if as_json:
        results.say_json({"query": query, "hits": hits})
    else:
        streams.say(results.in_line(query))
        results.say_hits(hits, indent="  ")
