"""`rerank`: documents are ordered by how well they answer a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import Reranker
from rushlight._cli import embedding, options, reading, results

if TYPE_CHECKING:
    import argparse

_MORE = """\
DOCUMENTS is a file of texts; MODEL is a cross-encoder, which reads query and document together. A name without a / is
one of cross-encoder's own.\
"""
_EXAMPLES = """\
rushlight rerank ms-marco-MiniLM-L6-v2 "a light in a room" corpus.txt --top-k 3
grep lamp corpus.txt | rushlight rerank ms-marco-MiniLM-L6-v2 "a light in a room" --jsonl"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "rerank",
        _run,
        words="MODEL QUERY [DOCUMENTS]",
        says="Order documents by how well they answer a query.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(parser)
    parser.add_argument("query", metavar="QUERY", help="a text")
    parser.add_argument(
        "documents", metavar="DOCUMENTS", nargs="?", default="-", help="a file of texts, or - for stdin"
    )
    parser.add_argument("--top-k", metavar="N", type=options.positive, help="how many to show (default: all)")
    results.add_options(parser)
    reading.add_options(parser)
    embedding.add_running(parser)


def _run(arguments: argparse.Namespace) -> None:
    with reading.source(arguments.documents, arguments.format, arguments.field) as source:
        model = Reranker(arguments.model, device=arguments.device, **options.source(arguments))
        ranked = model.rank(
            arguments.query,
            source.texts(),
            top_k=arguments.top_k,
            return_documents=True,
            truncation=arguments.truncation,
            show_progress_bar=embedding.shows_progress(arguments),
        )
    if arguments.jsonl:
        for hit in ranked:
            results.say_json(hit)
    else:
        results.say_hits(ranked)
