"""Output of results, for people or for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rushlight._cli import streams
from rushlight.exceptions import InvalidInputError

if TYPE_CHECKING:
    import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option for JSON output."""
    parser.add_argument("--jsonl", action="store_true", help="print lines of JSON")


def say_json(value: Any) -> None:
    """Write a line of JSON.

    Raises
    ------
    InvalidInputError
        A number is not finite.
    """
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError as error:
        raise InvalidInputError("--jsonl: not all numbers are finite, which JSON requires") from error
    streams.say(line)


def say_hits(hits: list[dict[str, Any]], indent: str = "") -> None:
    """Write a line per hit: score, id and, if known, the text, separated by tabs."""
    for hit in hits:
        text = f"\t{in_line(hit['text'])}" if "text" in hit else ""
        streams.say(f"{indent}{hit['score']:.4f}\t{hit['corpus_id']}{text}")


def in_line(text: str) -> str:
    """Return a text in one line without tabs."""
    return " ".join(text.split())
