"""The command `rerank`, which sorts documents by relevance to a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rushlight import Reranker
from rushlight._cli import embedding, options, reading, results

if TYPE_CHECKING:
    import argparse

_MORE = """\
DOCUMENTS is a file of texts. MODEL is a cross-encoder, which reads query and document together. A name without a /
belongs to cross-encoder on the hub.\
"""
_EXAMPLES = """\
rushlight rerank ms-marco-MiniLM-L6-v2 "a light in a room" corpus.txt --top-k 3
grep lamp corpus.txt | rushlight rerank ms-marco-MiniLM-L6-v2 "a light in a room" --jsonl"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "rerank",
        _run,
        words="MODEL QUERY [DOCUMENTS]",
        says="Sort documents by relevance to a query.",
        more=_MORE,
        examples=_EXAMPLES,
    )
    options.add_model(command)
    command.add_argument("query", metavar="QUERY", help="text")
    command.add_argument(
        "documents", metavar="DOCUMENTS", nargs="?", default="-", help="file of texts (default: -, stdin)"
    )
    command.add_argument(
        "--top-k", metavar="N", type=options.positive, help="number of documents to print (default: all)"
    )
    options.add_prompt(command, "text to put before the query; the instruction, for models that take one")
    results.add_options(command)
    reading.add_options(command)
    embedding.add_running(command)
    return command


def _run(arguments: argparse.Namespace) -> None:
    with reading.source(arguments.documents, **reading.options(arguments)) as source:
        model = Reranker(arguments.model, **options.computing(arguments), **options.source(arguments))
        records = list(source.records())
        with embedding.named([record.place for record in records]):
            ranked = model.rank(
                arguments.query,
                [record.text for record in records],
                top_k=arguments.top_k,
                prompt=arguments.prompt,
                prompt_name=arguments.prompt_name,
                return_documents=True,
                truncation=arguments.truncation,
                show_progress_bar=embedding.shows_progress(arguments),
            )
    if arguments.jsonl:
        for hit in ranked:
            results.say_json(hit)
    else:
        results.say_hits(ranked)
