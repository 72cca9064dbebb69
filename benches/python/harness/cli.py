"""The command line."""

from __future__ import annotations

import argparse
import subprocess

from harness import contenders, paths, session, throughput
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
