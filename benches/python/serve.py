"""Load on servers: texts a second and latencies for 1 to 256 clients, and of single queries beside a bulk client.

It starts `rushlight serve` and the peers that are named, and lets them take turns with one call of the library on the
same number of texts. `wrk` sends the requests. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from harness import machine, paths

import rushlight

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
COMMANDS = paths.python("servers").parent
# Behind FastAPI: the harness's peers, and their options.
PEERS = {"sentence_transformers": {"backend": "torch"}, "fastembed": {}}
INFINITY = "infinity"
SHORT = "What is the fare from the airport to the city?"


@dataclass(frozen=True)
class Load:
    """Requests of one kind from several clients."""

    name: str
    clients: int
    texts: int = 1
    """Texts a request."""

    def of_library(self, number: int) -> list[str]:
        """Return as many texts as a call of the library gets. They have the lengths of those that `serve.lua` sends."""
        salt = int(time.time()) % 100_000 * 1000 + number
        words = "the train to the city leaves at nine "
        if self.texts == 1:
            return [f"{salt} {i} {SHORT}" for i in range(1024)]
        return [f"{salt} {i} " + words * (1 + i * 7 % 15) for i in range(512)]


LOADS = [Load(f"{clients} clients, one short text", clients) for clients in (1, 8, 64, 256)]
LOADS.append(Load("16 clients, 32 mixed texts", 16, 32))
BULK = Load("bulk client", 1, 32)


@dataclass(frozen=True)
class Server:
    """Server that runs."""

    name: str
    url: str
    process: int

    def post(self, texts: list[str]) -> list[list[float]]:
        """Return the embeddings of texts."""
        body = json.dumps({"input": texts, "model": "model", "encoding_format": "float"}).encode()
        request = urllib.request.Request(f"{self.url}/v1/embeddings", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [row["embedding"] for row in json.load(answer)["data"]]

    def load(self, load: Load, seconds: float) -> dict[str, float]:
        """Return the texts a second and the latencies under a load."""
        return _result(self._start(load, seconds), load)

    def beside_bulk(self, seconds: float) -> dict[str, float]:
        """Return the latencies of one client with single texts, while another sends 32 at a time."""
        bulk = self._start(BULK, seconds + 1)
        time.sleep(0.5)
        before = _micro_batches(self.url)
        single = self.load(Load("beside", 1), seconds)
        batches = _micro_batches(self.url) - before
        _result(bulk, BULK)
        if batches:
            single["micro_batch_ms"] = 1e3 * seconds * rushlight.get_num_threads() / batches
        return single

    def _start(self, load: Load, seconds: float) -> subprocess.Popen[str]:
        # A request of many texts takes longer, and several must end.
        seconds *= 1 if load.texts == 1 or load.clients == 1 else 5
        words = ["-t1", f"-c{load.clients}", f"-d{seconds:.0f}", "--timeout", "60", "-s", str(HERE / "serve.lua")]
        environment = {**os.environ, "TEXTS": str(load.texts), "MODEL": "model"}
        command = ["wrk", *words, f"{self.url}/v1/embeddings"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def memory(self) -> dict[str, float]:
        """Return the resident memory and its peak in MB."""
        status = Path(f"/proc/{self.process}/status").read_text(encoding="ascii")
        fields = dict(re.findall(r"^(VmRSS|VmHWM):\s*(\d+) kB$", status, re.MULTILINE))
        return {"resident_mb": int(fields["VmRSS"]) / 1e3, "peak_mb": int(fields["VmHWM"]) / 1e3}


def _result(process: subprocess.Popen[str], load: Load) -> dict[str, float]:
    output, _ = process.communicate()
    told = json.loads(output.strip().splitlines()[-1])
    if process.returncode or told["failed"]:
        raise RuntimeError(output)
    return {
        "texts_per_second": told["requests"] * load.texts / told["seconds"],
        "p50_ms": told["p50_ms"],
        "p99_ms": told["p99_ms"],
    }


def _micro_batches(url: str) -> float:
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
    except OSError:  # a peer without metrics
        return 0
    found = re.search(r"^te_batch_next_size_count (\d+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0


@contextmanager
def started(name: str, model: str) -> Iterator[Server]:
    """Start a server, wait until it answers, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = str(rushlight.get_num_threads())
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    environment.pop("HOSTNAME", None)
    if name == "rushlight":
        words = ["--max-client-batch-size", "1024", "--log-level", "warn", "--threads", threads]
        command = [sys.executable, "-m", "rushlight", "serve", f"model={model}", *words]
    elif name == INFINITY:
        words = [
            "--engine",
            "torch",
            "--device",
            "cpu",
            "--no-bettertransformer",
            "--batch-size",
            "32",
            "--url-prefix",
            "/v1",
            "--log-level",
            "error",
        ]
        command = [str(COMMANDS / "infinity_emb"), "v2", "--model-id", model, "--served-model-name", "model", *words]
    else:
        environment |= {"BACKEND": name, "OPTIONS": json.dumps(PEERS[name])}
        environment["MODEL"] = str(paths.CACHE / Path(model).name / "st")
        command = [str(COMMANDS / "uvicorn"), "--app-dir", str(HERE), "--log-level", "error", "servers:app"]
    process = subprocess.Popen([*command, "--port", str(port)], env=environment)
    try:
        server = Server(name, f"http://127.0.0.1:{port}", process.pid)
        for _ in range(600):
            try:
                server.post(["ready"])
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended with {process.returncode}") from None
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def library(model: rushlight.Model, load: Load, number: int) -> float:
    """Return the texts a second of one call."""
    texts = load.of_library(number)
    start = time.perf_counter()
    model.encode(texts, normalize_embeddings=True)
    return len(texts) / (time.perf_counter() - start)


def alone(model: rushlight.Model, number: int) -> float:
    """Return the median milliseconds of a call with one text."""
    times = []
    for text in LOADS[0].of_library(number)[:300]:
        start = time.perf_counter()
        model.encode(text, normalize_embeddings=True)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def check(model: rushlight.Model, servers: list[Server]) -> None:
    """Compare each server's answer with the library's.

    Raises
    ------
    RuntimeError
        If an answer is wrong.
    """
    texts = LOADS[0].of_library(0)[:20] + LOADS[-1].of_library(0)[:12]
    expected = model.encode(texts, normalize_embeddings=True)
    for server in servers:
        difference = float(np.abs(np.array(server.post(texts), np.float32) - expected).max())
        if difference > (0 if server.name == "rushlight" else 1e-4):
            raise RuntimeError(f"{server.name}: embeddings differ by {difference}")


def measure(model: str, peers: list[str], seconds: float, rounds: int) -> dict[str, object]:
    """Measure servers by turns with the library."""
    own = rushlight.Model(model)
    with ExitStack() as stack:
        servers = [stack.enter_context(started(name, model)) for name in ["rushlight", *peers]]
        check(own, servers)
        results: dict[str, object] = {"machine": machine.describe(rushlight.get_num_threads())}
        for load in LOADS:
            turns: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
            for number in range(rounds):
                for server in servers:
                    rate = library(own, load, number)
                    told = server.load(load, seconds)
                    told["ratio_to_a_call"] = told["texts_per_second"] / rate
                    if load.clients == 1:
                        told["pays_ms"] = told["p50_ms"] - alone(own, number)
                    turns[server.name].append(told)
            results[load.name] = {name: _medians(rows) for name, rows in turns.items()}
        beside = {server.name: [server.beside_bulk(seconds) for _ in range(rounds)] for server in servers}
        results["one query beside a bulk client"] = {name: _medians(rows) for name, rows in beside.items()}
        results["memory"] = {server.name: server.memory() for server in servers}
    return results


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=str(paths.MODELS / "all-MiniLM-L6-v2"), help="folder of the model")
    parser.add_argument("--peers", nargs="*", default=[], choices=[*PEERS, INFINITY])
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.model, arguments.peers, arguments.seconds, arguments.rounds), indent=2))


if __name__ == "__main__":
    main()
