"""The command line."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from harness import (
    compare,
    contenders,
    growth,
    instructions,
    memory,
    paths,
    plots,
    quality,
    scaling,
    session,
    single,
    start,
    tables,
    throughput,
)
from harness.workloads import WORKLOADS

MINILM = "all-MiniLM-L6-v2"


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure rushlight, alone or beside its peers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command("prepare", _prepare, "make the graphs and caches that the peers load")
    added = command("throughput", _throughput, "texts a second on workloads, and the share of the peak")
    _common(added)
    added.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    added.add_argument("--seconds", type=float, default=1.0, help="of ours for a part of a workload")
    added = command("single", _single, "one short query at a time, and the share of the memory's bandwidth")
    _common(added)
    added.add_argument("--queries", type=int, default=100, help="of a turn")
    _common(command("start", _start, "from the start of a process to the first embedding"))
    _common(command("memory", _memory, "resident memory after loading, and at most over mixed"))
    added = command("quality", _quality, "loss of lower precision: cosines to float32, and neighbours that stay")
    _common(added)
    added = command("scaling", _scaling, "more threads against one, ours alone")
    added.add_argument("--model", default=MINILM)
    added.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    added.add_argument("--rounds", type=int, default=7)
    added = command("growth", _growth, "tokens a second over lengths, numbers of texts and models, ours alone")
    added.add_argument("--models", nargs="+", default=[MINILM, "all-mpnet-base-v2"])
    added.add_argument("--threads", type=int, default=2)
    added.add_argument("--rounds", type=int, default=7)
    added.add_argument("--gflop", type=float, default=30, help="of a call, at least, where lengths change")
    added.add_argument("--texts", type=int, default=4096, help="of a call, at most, where their number changes")
    added = command("instructions", _instructions, "count the instructions of a fixed call, with valgrind")
    added.add_argument("--keep", action="store_true", help="keep the counts, for later runs to be held against")
    added = command("compare", _compare, "compare two wheels, which benches/.venv-before and benches/.venv-after have")
    added.add_argument("wheels", nargs=2, type=Path, metavar="WHEEL")
    added.add_argument(
        "--parts", nargs="+", default=list(compare.MEASUREMENTS), choices=compare.MEASUREMENTS, help="what to compare"
    )
    added.add_argument("--threads", type=int, default=2, help="of the throughput")
    added.add_argument("--rounds", type=int, default=40, help="of the throughput: half a second of each wheel")
    command("plot", lambda _: plots.draw_all(), "draw all results")
    command("table", lambda _: print(tables.render(), end=""), "print all results as tables in Markdown")
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=MINILM)
    parser.add_argument("--contenders", nargs="+", default=[contenders.OURS], choices=[*contenders.NAMES, "all"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7, help="at least so many")


def _names(arguments: argparse.Namespace) -> list[str]:
    return list(contenders.NAMES) if "all" in arguments.contenders else arguments.contenders


def _prepare(_: argparse.Namespace) -> None:
    command = [paths.python("peers"), paths.HARNESS / "prepare.py", session.model_folder(MINILM), paths.CACHE / MINILM]
    subprocess.run(command, check=True)


def _throughput(arguments: argparse.Namespace) -> None:
    result = throughput.measure(
        arguments.model,
        _names(arguments),
        arguments.workloads,
        arguments.threads,
        arguments.rounds,
        arguments.seconds,
    )
    session.write("throughput", arguments.model, arguments.threads, result)


def _single(arguments: argparse.Namespace) -> None:
    result = single.measure(arguments.model, _names(arguments), arguments.threads, arguments.rounds, arguments.queries)
    session.write("single", arguments.model, arguments.threads, result)


def _start(arguments: argparse.Namespace) -> None:
    result = start.measure(arguments.model, _names(arguments), arguments.threads, arguments.rounds)
    session.write("start", arguments.model, arguments.threads, result)


def _memory(arguments: argparse.Namespace) -> None:
    result = memory.measure(arguments.model, _names(arguments), arguments.threads)
    session.write("memory", arguments.model, arguments.threads, result)


def _quality(arguments: argparse.Namespace) -> None:
    result = quality.measure(arguments.model, _names(arguments), arguments.threads)
    session.write("quality", arguments.model, arguments.threads, result)


def _scaling(arguments: argparse.Namespace) -> None:
    result = scaling.measure(arguments.model, arguments.threads, arguments.rounds)
    session.write("scaling", arguments.model, max(arguments.threads), result)


def _instructions(arguments: argparse.Namespace) -> None:
    instructions.measure(keep=arguments.keep)


def _compare(arguments: argparse.Namespace) -> None:
    compare.compare(arguments.wheels, arguments.parts, arguments.threads, arguments.rounds)


def _growth(arguments: argparse.Namespace) -> None:
    result = growth.measure(
        arguments.models, arguments.threads, arguments.rounds, arguments.gflop * 1e9, arguments.texts
    )
    session.write("growth", "+".join(arguments.models), arguments.threads, result)
