"""Texts a second on Ray and Spark, beside one process with as many threads: `python benches/python/engines.py MODEL`.

Each engine and the local process take turns. Times include the start of workers and the loading of models, but not the
start of a cluster. The model's rushlight is the one that is installed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from rushlight._jobs.job import Job
from rushlight._jobs.parts import FolderJob

if TYPE_CHECKING:
    from collections.abc import Callable

FORM = {"kind": None, "field": None, "delimiter": None, "keep_blank": False}


def main() -> None:
    """Measure, and print a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--engines", nargs="+", choices=("ray", "spark"), default=["ray", "spark"])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    texts = [f"The night train number {i} leaves at half past nine." for i in range(arguments.texts)]
    places = []
    for i in range(8):
        part = texts[i::8]
        places.append(str(folder / f"{i}.parquet"))
        pq.write_table(pa.table({"text": part}), places[-1])
    for name in arguments.engines:
        run = start(name, arguments.workers)
        for _ in range(arguments.rounds):
            alone = measured(local, arguments, places, folder / "local")
            spread = measured(run, arguments, places, folder / name)
            print(f"{name}: {len(texts) / spread:.0f} texts/s, alone {len(texts) / alone:.0f}, {alone / spread:.2f}")
            sys.stdout.flush()
    shutil.rmtree(folder)


def measured(
    work: Callable[[argparse.Namespace, list[str], Path], None],
    arguments: argparse.Namespace,
    places: list[str],
    folder: Path,
) -> float:
    """Return the seconds of a call."""
    before = time.perf_counter()
    work(arguments, places, folder)
    return time.perf_counter() - before


def task(arguments: argparse.Namespace, folder: Path, threads: int) -> FolderJob:
    """Return a job whose output folder is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    return FolderJob(Job(arguments.model, num_threads=threads), str(folder), FORM)


def local(arguments: argparse.Namespace, places: list[str], folder: Path) -> None:
    """Embed in this process."""
    job = task(arguments, folder, arguments.workers)
    job.job.start()
    for part in job.plan(places, 1000):
        job.embed(part)


def start(name: str, workers: int) -> Callable[[argparse.Namespace, list[str], Path], None]:
    """Start a cluster, and return the function that embeds with it."""
    if name == "ray":
        import ray

        from rushlight.integrations.ray import embed_parts as on_ray

        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)

        def run(arguments: argparse.Namespace, places: list[str], folder: Path) -> None:
            job = task(arguments, folder, 1)
            list(on_ray(job, job.plan(places, 1000), workers=workers))

        return run
    from pyspark.sql import SparkSession

    from rushlight.integrations.spark import embed

    session = SparkSession.builder.master(f"local[{workers}]").config("spark.ui.enabled", "false").getOrCreate()
    session.range(1000).count()

    def run_spark(arguments: argparse.Namespace, places: list[str], folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        embed(session.read.parquet(*places), arguments.model).write.parquet(str(folder))

    return run_spark


if __name__ == "__main__":
    main()
