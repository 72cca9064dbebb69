"""Clients of a server for the soak: good ones, whose answers are compared, and bad ones."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
import urllib.request
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

import rushlight

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path


# Bodies that no route takes, and their statuses.
BAD = [
    (b"{", 422),
    (b'{"input": 5}', 422),
    (b'{"input": ["a", null]}', 422),
    (b'{"input": "a", "model": "unknown"}', 404),
    (b'{"input": []}', 400),
    (b'{"input": "' + b"a" * 3_000_000 + b'"}', 413),
]


class Clients:
    """Server of a model, and what clients do to it."""

    def __init__(self, folder: Path, some: Callable[[random.Random], tuple[list[int], list[str]]], want: np.ndarray):
        self.server = rushlight.serve({"mine": folder}, max_client_batch_size=1000, max_concurrent_requests=64)
        self.address = urlsplit(self.server.url)
        self.some = some
        self.want = want

    def post(self, body: bytes) -> tuple[int, bytes]:
        connection = HTTPConnection(self.address.hostname, self.address.port, timeout=60)
        try:
            connection.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def body(self, rng: random.Random) -> tuple[list[int], bytes]:
        chosen, texts = self.some(rng)
        return chosen, json.dumps({"input": texts, "encoding_format": "base64"}).encode()

    def ask(self, rng: random.Random) -> None:
        chosen, body = self.body(rng)
        status, answer = self.post(body)
        if status == 429:
            return
        assert status == 200, answer
        rows = [np.frombuffer(base64.b64decode(row["embedding"]), np.float32) for row in json.loads(answer)["data"]]
        want = self.want[chosen]
        want = want / np.linalg.norm(want, axis=1, keepdims=True)
        assert np.abs(np.stack(rows) - want).max() < 1e-6, "another answer"

    def mislead(self, rng: random.Random) -> None:
        body, wanted = rng.choice(BAD)
        try:
            status, answer = self.post(body)
        except (BrokenPipeError, ConnectionResetError):
            return  # the refusal came while the body was being sent
        assert status == wanted, (status, answer[:200], body[:50])

    def leave(self, rng: random.Random) -> None:
        """Send a request, whole or in part, and go."""
        _, body = self.body(rng)
        head = (
            f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        )
        sent = head.encode() + b"\r\n\r\n" + body
        with socket.create_connection((self.address.hostname, self.address.port), timeout=60) as connection:
            connection.sendall(sent[: rng.choice([len(sent), rng.randrange(len(sent))])])
            time.sleep(rng.random() / 20)

    def gauge(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.server.url}/metrics", timeout=60) as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else float("nan")

    def finish(self) -> list[str]:
        """Return what is wrong once all clients have gone, and stop the server."""
        time.sleep(1)
        gauges = ("rushlight_computing", "te_queue_size")
        wrong = [f"{name} is {self.gauge(name)} in the end" for name in gauges if self.gauge(name) != 0]
        self.server.stop()
        return wrong
