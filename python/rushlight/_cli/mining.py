"""The commands `mine` and `cluster`, which find similar texts within a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import util
from rushlight._cli import embedding, options, reading, results, streams

if TYPE_CHECKING:
    import argparse

_MORE = "Texts and embeddings are held in memory."


def mine() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "mine",
        _mine,
        words="MODEL [INPUT]",
        says="Find the most similar pairs of texts, such as duplicates.",
        more=_MORE,
        examples="rushlight mine all-MiniLM-L6-v2 corpus.txt --threshold 0.8\n"
        "rushlight mine all-MiniLM-L6-v2 corpus.csv --field title --jsonl | head -3",
    )
    options.add_model(command)
    command.add_argument("input", metavar="INPUT", nargs="?", default="-", help="file of texts (default: -, stdin)")
    command.add_argument(
        "--threshold", metavar="SCORE", type=options.number, help="minimum score of a pair (default: none)"
    )
    command.add_argument(
        "--max-pairs",
        metavar="N",
        type=options.positive,
        default=500_000,
        help="maximum number of pairs (default: 500000)",
    )
    command.add_argument(
        "--top-k",
        metavar="N",
        type=options.positive,
        default=100,
        help="neighbours to consider per text (default: 100)",
    )
    _add_options(command)
    embedding.add_similarity(command)
    return command


def cluster() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    command = options.command(
        "cluster",
        _cluster,
        words="MODEL [INPUT]",
        says="Find groups of similar texts.",
        more=f"A group is a text and all texts whose cosine with it reaches the threshold.\n{_MORE}",
        examples="rushlight cluster all-MiniLM-L6-v2 corpus.txt --threshold 0.6 --min-size 2",
    )
    options.add_model(command)
    command.add_argument("input", metavar="INPUT", nargs="?", default="-", help="file of texts (default: -, stdin)")
    command.add_argument(
        "--threshold",
        metavar="COSINE",
        type=options.number,
        default=0.75,
        help="minimum cosine of a group's first text with the others (default: 0.75)",
    )
    command.add_argument(
        "--min-size",
        metavar="N",
        type=options.positive,
        default=10,
        help="minimum number of texts in a group (default: 10)",
    )
    _add_options(command)
    return command


def _add_options(parser: argparse.ArgumentParser) -> None:
    results.add_options(parser)
    reading.add_options(parser)
    embedding.add_prompts(parser)
    embedding.add_options(parser)


def _embedded(arguments: argparse.Namespace) -> tuple[list[str], Any, Any]:
    """Return the texts, their embeddings, and the model."""
    with reading.source(arguments.input, **reading.options(arguments)) as source:
        model = embedding.load(arguments)
        records = list(source.records())
    embeddings = embedding.embed(model, records, arguments, **embedding.prompts(arguments))
    return [record.text for record in records], embeddings, model


def _mine(arguments: argparse.Namespace) -> None:
    texts, embeddings, model = _embedded(arguments)
    pairs = util.paraphrase_mining_embeddings(
        embeddings,
        max_pairs=arguments.max_pairs,
        top_k=arguments.top_k,
        score_function=embedding.score_function(model),
    )
    for score, i, j in pairs:
        if arguments.threshold is not None and score < arguments.threshold:
            break  # scores fall
        if arguments.jsonl:
            results.say_json({"score": score, "ids": [i, j], "texts": [texts[i], texts[j]]})
        else:
            streams.say(f"{score:.4f}\t{results.in_line(texts[i])}\t{results.in_line(texts[j])}")


def _cluster(arguments: argparse.Namespace) -> None:
    texts, embeddings, _ = _embedded(arguments)
    groups = util.community_detection(embeddings, arguments.threshold, arguments.min_size)
    for number, ids in enumerate(groups, 1):
        if arguments.jsonl:
            results.say_json({"ids": ids, "texts": [texts[i] for i in ids]})
            continue
        streams.say(f"group {number}: {len(ids)} texts")
        for i in ids:
            streams.say(f"  {results.in_line(texts[i])}")
