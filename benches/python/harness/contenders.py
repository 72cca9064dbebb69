"""Who takes part, and how each is started."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import build, paths
from harness.prepare import HUB_NAME
from harness.process import Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

OURS = "rushlight"
BY_HAND = "ort"

# Every library that the peers compute or tokenize with, so that all have the same number of threads.
_THREADS = ("RUSHLIGHT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Contender:
    """A way to get embeddings."""

    name: str
    """The name in reports."""
    peer: str
    """The module in `harness.peers`; none for the one that is written in Rust."""
    venv: str = ""
    """The environment that it is installed in; none for this one."""
    options: tuple[str, ...] = ()
    """Arguments of its `load`, KEY=VALUE; {cache} is the folder that `prepare.py` made."""
    folder: str = "{model}"
    """The model's folder for it."""
    exact: bool = True
    """False in lower precision, whose results are held to their cosines alone."""

    def command(self, script: str, model: Path, threads: int) -> list[str]:
        """Return the command that runs a script with this contender."""
        cache = paths.CACHE / model.name
        if not self.peer:
            return [str(build.bench("portable")), str(model)]
        words = [word.format(model=model, cache=cache) for word in (self.folder, str(threads), *self.options)]
        return [str(paths.python(self.venv)), str(paths.HARNESS / script), self.peer, *words]


_GRAPH = "graph={cache}/st/onnx/"
_ST = "sentence-transformers"
ALL = (
    Contender(OURS, "rushlight"),
    Contender("rushlight-bfloat16", "rushlight", options=("dtype=bfloat16",), exact=False),
    Contender("rushlight-int8", "rushlight", options=("dtype=int8",), exact=False),
    Contender("rushlight-portable", ""),
    Contender(BY_HAND, "ort", "peers", (_GRAPH + "model_fused.onnx",)),
    Contender("ort-int8", "ort", "peers", (_GRAPH + "model_int8.onnx",), exact=False),
    Contender("openvino", "openvino", "peers", (_GRAPH + "model.onnx", "hint=latency")),
    Contender("openvino-throughput", "openvino", "peers", (_GRAPH + "model.onnx", "hint=throughput")),
    Contender(
        "openvino-bfloat16",
        "openvino",
        "peers",
        (_GRAPH + "model.onnx", "hint=latency", "precision=bf16"),
        exact=False,
    ),
    Contender(
        "openvino-int8",
        "openvino",
        "peers",
        ("graph={cache}/st/openvino/openvino_model_int8.xml", "hint=latency"),
        exact=False,
    ),
    Contender(f"{_ST}-torch", "sentence_transformers", "st", ("backend=torch",), "{cache}/st"),
    Contender(
        f"{_ST}-onnx", "sentence_transformers", "st", ("backend=onnx", "file_name=onnx/model.onnx"), "{cache}/st"
    ),
    Contender(
        f"{_ST}-onnx-fused",
        "sentence_transformers",
        "st",
        ("backend=onnx", "file_name=onnx/model_fused.onnx"),
        "{cache}/st",
    ),
    Contender(f"{_ST}-openvino", "sentence_transformers", "st", ("backend=openvino",), "{cache}/st"),
    Contender("fastembed", "fastembed", "peers", (), "{cache}/st"),
    Contender("candding", "candding", "peers", (f"name={HUB_NAME}",)),
    Contender("embed_anything", "embed_anything", "embed-anything", (f"name={HUB_NAME}",)),
)
NAMES = tuple(contender.name for contender in ALL)


def environment(model: Path, threads: int) -> dict[str, str]:
    """Return the variables of a contender's process."""
    hub = {"HF_HOME": str(paths.CACHE / model.name), "HF_HUB_CACHE": str(paths.CACHE / model.name / "hub")}
    offline = {"HF_HUB_OFFLINE": "1", "OPENVINO_TELEMETRY": "0", "TOKENIZERS_PARALLELISM": "true"}
    return {**dict.fromkeys(_THREADS, str(threads)), **hub, **offline}


class Worker:
    """A contender that is loaded and waits."""

    def __init__(
        self, contender: Contender, model: Path, threads: int, extra: Sequence[str] = (), name: str = ""
    ) -> None:
        self.name = name or contender.name
        self.exact = contender.exact
        command = [*contender.command("worker.py", model, threads), *extra]
        self._program = Program(command, environment(model, threads))
        self.versions: dict[str, str] = self._program.read()["versions"]

    def encode(self, texts: list[str]) -> float:
        """Embed texts in one call, and return how many seconds it took."""
        return float(self._ask("encode", texts)["seconds"])

    def query(self, texts: list[str]) -> list[float]:
        """Embed texts one by one, and return how many seconds each took."""
        return [float(seconds) for seconds in self._ask("query", texts)["seconds"]]

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return the texts' embeddings."""
        rows: list[list[float]] = self._ask("embed", texts)["embeddings"]
        return rows

    def memory(self) -> dict[str, int]:
        """Return the process's memory in KiB."""
        return self._ask("memory", [])

    def _ask(self, what: str, texts: list[str]) -> dict[str, Any]:
        return self._program.ask(json.dumps({"do": what, "texts": texts}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._program.__exit__(*error)


class Peak:
    """Peak of the processor, measured by a program of its own."""

    def __init__(self, threads: int, environ: Mapping[str, str] = os.environ) -> None:
        self._program = Program([str(build.peak()), "--serve", "--threads", str(threads)], environ)

    def gflops(self, seconds: float = 0.1) -> float:
        """Return 10⁹ floating-point operations a second."""
        return float(self._program.ask(f"flops {seconds}")["gflops"])

    def bandwidth(self, mib: int, seconds: float = 0.1) -> float:
        """Return 10⁹ bytes a second, reading `mib` MiB again and again."""
        return float(self._program.ask(f"bandwidth {seconds} {mib}")["gigabytes_per_second"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._program.__exit__(*error)
