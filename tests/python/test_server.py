"""`rushlight.serve` and `rushlight serve`: a small part of what `make test-server` tests with real clients."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import DATA

import rushlight
from rushlight import Model, Reranker
from rushlight.exceptions import InferenceError, InvalidArgumentError, ModelNotFoundError

MODEL = DATA / "tiny/bert-mean-normalize/model"
RERANKER = DATA / "rerank/rerank-bert/model"


def post(url: str, path: str, body: object, **headers: str):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def server():
    with rushlight.serve({"mine": MODEL, "ranks": RERANKER}, max_client_batch_size=1000) as server:
        yield server


def test_answers_have_the_bits_of_the_library_under_concurrent_clients(server) -> None:
    texts = [f"text {i} " + "the cat sat " * (i % 30) for i in range(200)]
    expected = Model(MODEL).encode(texts, normalize_embeddings=True)

    def embed(text: str) -> np.ndarray:
        answer = post(server.url, "/v1/embeddings", {"input": text, "model": "mine", "encoding_format": "base64"})
        return np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), dtype="<f4")

    with ThreadPoolExecutor(16) as threads:
        rows = np.stack(list(threads.map(embed, texts)))
    np.testing.assert_array_equal(rows, expected)
    floats = np.array(post(server.url, "/mine/embed", {"inputs": texts}), dtype=np.float32)
    np.testing.assert_array_equal(floats, expected)


def test_a_reranker_beside_it(server) -> None:
    documents = ["a cat", "a dog", "the hill"]
    answer = post(server.url, "/rerank", {"query": "a query", "texts": documents})
    expected = Reranker(RERANKER).predict([("a query", text) for text in documents], activation_fn="sigmoid")
    assert [np.float32(rank["score"]) for rank in answer] == [expected[rank["index"]] for rank in answer]


def test_a_stopped_server_answers_nothing() -> None:
    server = rushlight.serve(MODEL)
    assert repr(server) == f"Server({server.url!r})"
    server.stop()
    server.stop()
    with pytest.raises(urllib.error.URLError):
        post(server.url, "/embed", {"inputs": "a"})


def test_flags_are_options(monkeypatch) -> None:
    monkeypatch.setenv("API_KEY", "of the environment, which has no effect")
    with rushlight.serve(MODEL, served_model_name="x", auto_truncate=False, cors_allow_origin=["a", "b"]) as server:
        assert len(post(server.url, "/x/embed", {"inputs": "a"})) == 1
    with rushlight.serve([MODEL], api_key="secret") as server:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            post(server.url, "/embed", {"inputs": "a"})
        assert post(server.url, "/embed", {"inputs": "a"}, Authorization="Bearer secret")


def test_what_is_wrong_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="--no-such-flag"):
        rushlight.serve(MODEL, no_such_flag=1)
    with pytest.raises(InvalidArgumentError, match="max_client_batch_size"):
        rushlight.serve(MODEL, max_client_batch_size=0)
    with pytest.raises(InvalidArgumentError, match="models"):
        rushlight.serve([])
    with pytest.raises(ModelNotFoundError):
        rushlight.serve("/no/such/folder", local_files_only=True)
    with rushlight.serve(MODEL) as server, pytest.raises(InferenceError, match=r"in use|Only one usage"):
        rushlight.serve(MODEL, port=int(server.url.rpartition(":")[2]))


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(ends: signal.Signals) -> None:
    words = [sys.executable, "-m", "rushlight", "serve", f"mine={MODEL}", "--port", "0", "--json-output"]
    environment = {**os.environ, "HOSTNAME": "some-machine"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        url = ""
        for line in process.stderr:
            told = json.loads(line)
            assert {"timestamp", "level", "message"} <= told.keys()
            if told["message"] == "serving":
                url = told["url"]
                break
        assert url.startswith("http://127.0.0.1:")
        assert len(post(url, "/mine/embed", {"inputs": ["a", "b"]})) == 2
        process.send_signal(ends)
        start = time.monotonic()
        assert process.wait(30) == 0
        assert time.monotonic() - start < 10
        assert '"message":"stopped"' in process.stderr.read()


def test_the_command_refuses_wrong_words() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rushlight", "serve", str(MODEL), "--port", "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "invalid value 'x'" in done.stderr
