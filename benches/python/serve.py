"""Load on a server: throughput and latency for 1, 8, 64 and 256 clients, and of single queries beside a bulk client.

It starts a server, measures it over loopback, and prints each result as a ratio to one call of the library with the
same texts. `--url` measures another server with OpenAI's route instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import rushlight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from typing_extensions import Self

SHORT = "What is the fare from the airport to the city?"
CLIENTS = (1, 8, 64, 256)


def mixed(count: int, salt: int) -> list[str]:
    """Return texts of 5 to 120 words."""
    return [f"{salt} {i} " + "the train to the city leaves at nine " * (1 + (i * 7 + salt) % 15) for i in range(count)]


class Client:
    """Keep-alive connection that posts texts to OpenAI's route."""

    model: ClassVar[dict[str, str]] = {}

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url)

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self.address.hostname, self.address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def embed(self, texts: str | list[str]) -> float:
        """Post texts and return the seconds until the answer is read."""
        body = json.dumps({"input": texts, "encoding_format": "base64", **self.model}).encode()
        head = (
            f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        )
        start = time.perf_counter()
        self.writer.write(f"{head}\r\n\r\n".encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        answer = await self.reader.readexactly(length)
        if " 200 " not in head.split("\r\n")[0]:
            raise RuntimeError(answer.decode())
        return time.perf_counter() - start


async def run(url: str, clients: int, seconds: float, texts: Callable[[int, int], str | list[str]]) -> dict[str, float]:
    """Let clients post as fast as they are answered, and return texts per second and latencies in milliseconds."""
    latencies: list[float] = []
    count = 0
    end = time.perf_counter() + seconds

    async def client(index: int) -> None:
        nonlocal count
        async with Client(url) as connection:
            i = 0
            while time.perf_counter() < end:
                sent = texts(index, i)
                latencies.append(await connection.embed(sent))
                count += 1 if isinstance(sent, str) else len(sent)
                i += 1

    start = time.perf_counter()
    await asyncio.gather(*(client(index) for index in range(clients)))
    return {"texts_per_second": count / (time.perf_counter() - start), **quantiles(latencies)}


async def beside_bulk(url: str, seconds: float) -> dict[str, float]:
    """Post single queries while another client posts 32 texts at a time, and return the queries' latencies."""
    stop = asyncio.Event()

    async def bulk() -> None:
        async with Client(url) as connection:
            i = 0
            while not stop.is_set():
                await connection.embed(mixed(32, i))
                i += 1

    task = asyncio.create_task(bulk())
    latencies = []
    end = time.perf_counter() + seconds
    async with Client(url) as connection:
        i = 0
        while time.perf_counter() < end:
            latencies.append(await connection.embed(f"{SHORT} {i}"))
            i += 1
    stop.set()
    await task
    return quantiles(latencies)


def quantiles(latencies: list[float]) -> dict[str, float]:
    """Return median and 99th percentile in milliseconds."""
    ordered = sorted(latencies)
    return {"p50_ms": 1e3 * statistics.median(ordered), "p99_ms": 1e3 * ordered[int(0.99 * (len(ordered) - 1))]}


def library(model: rushlight.Model, texts: list[str]) -> float:
    """Return the texts per second of one call, the best of three."""
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        model.encode(texts, normalize_embeddings=True)
        best = max(best, len(texts) / (time.perf_counter() - start))
    return best


def alone(model: rushlight.Model, calls: int = 200) -> float:
    """Return the median milliseconds of a call with one text."""
    times = []
    for i in range(calls):
        start = time.perf_counter()
        model.encode(f"{SHORT} {i}", normalize_embeddings=True)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def memory() -> float:
    """Return this process's resident memory in MB; the server's threads are part of it."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(name: str, url: str | None, seconds: float) -> dict[str, object]:
    """Measure a server, and the library beside it."""
    model = rushlight.Model(name)
    result: dict[str, object] = {"model": name, "cores": rushlight.get_num_threads()}
    server = None if url else rushlight.serve(name, max_client_batch_size=1024)
    address = url or (server.url if server else "")

    def finish(awaitable: Awaitable[dict[str, float]]) -> dict[str, float]:
        return asyncio.run(asyncio.wait_for(awaitable, 600))

    single = alone(model)
    result["library_one_text_ms"] = single
    for clients in CLIENTS:
        texts = [f"{SHORT} {client} {i}" for client in range(clients) for i in range(2048 // clients)]
        rate = library(model, texts)
        told = finish(run(address, clients, seconds, lambda client, i: f"{SHORT} {client} {i}"))
        result[f"{clients} clients, one short text"] = {**told, "ratio_to_a_call": told["texts_per_second"] / rate}
        if clients == 1:
            result["one client pays (ms)"] = told["p50_ms"] - single
    rate = library(model, [text for salt in range(16) for text in mixed(32, salt)])
    told = finish(run(address, 16, seconds, lambda client, i: mixed(32, client + 16 * i)))
    result["16 clients, 32 mixed texts"] = {**told, "ratio_to_a_call": told["texts_per_second"] / rate}
    result["one query beside a bulk client"] = finish(beside_bulk(address, seconds))
    result["memory_mb"] = memory()
    if server:
        server.stop()
    return result


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="all-MiniLM-L6-v2")
    parser.add_argument("--url", help="another server with OpenAI's route, instead of one that is started")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--served-model", help="name of the model in requests to another server")
    arguments = parser.parse_args()
    if arguments.served_model:
        Client.model["model"] = arguments.served_model
    print(json.dumps(measure(arguments.model, arguments.url, arguments.seconds), indent=2))


if __name__ == "__main__":
    main()
