"""`search`: the texts of a corpus that are closest to a query."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import util
from rushlight._cli import embedding, options, reading, results, streams
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rushlight import Model
    from rushlight._cli.reading import Source

_MORE = """\
CORPUS is a file of texts, or an npy of their embeddings as encode writes it in float32, binary or ubinary, which is
not read into memory; the texts that are shown are then those of --texts. What is found by bits is scored again, by the
numbers of --rescore where it is given. Without QUERY, queries are read from --queries, or from stdin and answered one
by one. Queries and the corpus get the prompts that the model has for queries and documents.\
"""
_EXAMPLES = """\
rushlight search all-MiniLM-L6-v2 corpus.txt "a light in a room" "money"
rushlight search all-MiniLM-L6-v2 corpus.npy --texts corpus.txt --top-k 3 --jsonl < queries.txt
rushlight search all-MiniLM-L6-v2 bits.npy --rescore corpus.npy --texts corpus.txt "a light in a room"
rushlight search all-MiniLM-L6-v2 corpus.jsonl --field body --queries queries.txt"""


def parser() -> argparse.ArgumentParser:
    """Return what the command takes."""
    command = options.command(
        "search",
        _run,
        words="MODEL CORPUS [QUERY ...]",
        says="Find what is closest to a query.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(command)
    command.add_argument("corpus", metavar="CORPUS", help="a file of texts, - for stdin, or an npy of embeddings")
    command.add_argument("query", metavar="QUERY", nargs="*", help="what to look for")
    command.add_argument("--queries", metavar="FILE", help='a file of queries, with a field "text" if not txt')
    command.add_argument("--texts", metavar="FILE", help="the texts whose embeddings are in the npy, in its order")
    command.add_argument("--rescore", metavar="NPY", help="the embeddings in float32 of a corpus of bits")
    command.add_argument("--top-k", metavar="N", type=options.positive, default=10, help="how many (default: 10)")
    results.add_options(command)
    command.add_argument("--query-prompt", metavar="TEXT", help="put before every query (default: the model's)")
    command.add_argument("--document-prompt", metavar="TEXT", help="put before every text of the corpus, likewise")
    reading.add_options(command)
    embedding.add_similarity(command)
    embedding.add_options(command)
    return command


def _run(arguments: argparse.Namespace) -> None:
    ready = Path(arguments.corpus).suffix.lower() == ".npy"
    _check(arguments, ready=ready)
    place = arguments.texts if ready else arguments.corpus
    with ExitStack() as opened:
        asked = None if arguments.query else opened.enter_context(reading.source(arguments.queries or "-"))
        source = opened.enter_context(reading.source(place, arguments.format, arguments.field)) if place else None
        model = embedding.load(arguments)
        texts = source.texts() if source else []
        how = {"score_function": embedding.score_function(model), "top_k": arguments.top_k}
        if ready:
            corpus = _ready(arguments.corpus)
            _check_texts(arguments, texts, corpus)
            how["corpus_precision"] = _precision(arguments.corpus, corpus, model)
            how["rescore_embeddings"] = _ready(arguments.rescore) if arguments.rescore else None
        else:
            corpus = embedding.embed(model, texts, arguments, role="document", prompt=arguments.document_prompt)
        for queries in _chunks(asked) if asked else [arguments.query]:
            prompt = arguments.query_prompt
            embeddings = embedding.embed(model, queries, arguments, role="query", prompt=prompt, bar=False)
            found = util.semantic_search(embeddings, corpus, **how)
            for query, hits in zip(queries, found, strict=True):
                _say(query, hits, texts, as_json=arguments.jsonl)
            streams.flush()


def _check(arguments: argparse.Namespace, *, ready: bool) -> None:
    """Check that what is asked for goes together."""
    if arguments.query and arguments.queries:
        raise InvalidArgumentError("--queries: QUERY is given, too")
    if arguments.corpus == "-" and not arguments.query and arguments.queries in {None, "-"}:
        raise InvalidArgumentError("stdin: can't be both CORPUS and the queries")
    if arguments.texts == "-" and not arguments.query and arguments.queries in {None, "-"}:
        raise InvalidArgumentError("stdin: can't be both --texts and the queries")
    for option in ("texts", "rescore"):
        if getattr(arguments, option) and not ready:
            raise InvalidArgumentError(f"--{option}: belongs to an npy of embeddings, not to {arguments.corpus}")
    if ready and not arguments.texts and (arguments.format or arguments.field):
        raise InvalidArgumentError("--format and --field tell of texts: --texts names them")
    if ready and arguments.document_prompt is not None:
        raise InvalidArgumentError("--document-prompt: the corpus is embedded already")


def _ready(place: str) -> NDArray[Any]:
    """Return the embeddings of an npy, which stay in the file until they are looked at."""
    try:
        # Unlike np.load, it takes nothing else, such as an npz.
        embeddings: NDArray[Any] = np.lib.format.open_memmap(place, mode="r")
    except (ValueError, EOFError) as error:
        raise InvalidInputError(f"{place}: must be an npy: {error}") from error
    return embeddings


def _precision(place: str, corpus: NDArray[Any], model: Model) -> str:
    """Return what the numbers of an npy are, which its dtype and width tell."""
    columns = model.embedding_dimension
    if corpus.ndim == 2 and corpus.dtype.kind == "f":
        return "float32"
    if corpus.shape[1:] == (-(-columns // 8),) and corpus.dtype in {np.dtype("int8"), np.dtype("uint8")}:
        return "ubinary" if corpus.dtype == np.uint8 else "binary"
    problem = f"must be floats or bits of {columns} columns (int8 and uint8 need ranges, which no npy has)"
    raise InvalidInputError(f"{place}: {problem}, got {corpus.dtype} of shape {corpus.shape}")


def _check_texts(arguments: argparse.Namespace, texts: list[str], corpus: NDArray[Any]) -> None:
    if arguments.texts and len(texts) != len(corpus):
        raise InvalidInputError(f"{arguments.texts}: must have a text for each of {len(corpus)} rows, has {len(texts)}")


def _chunks(asked: Source) -> Iterator[list[str]]:
    """Yield queries: of a file many at a time, and one of what someone may be typing."""
    texts = (record.text for record in asked.records())
    while chunk := list(islice(texts, 1000 if asked.file.seekable() else 1)):
        yield chunk


def _say(query: str, hits: list[dict[str, Any]], texts: list[str], *, as_json: bool) -> None:
    if texts:
        hits = [{**hit, "text": texts[hit["corpus_id"]]} for hit in hits]
    if as_json:
        results.say_json({"query": query, "hits": hits})
    else:
        streams.say(results.in_line(query))
        results.say_hits(hits, indent="  ")
