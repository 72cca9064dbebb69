"""The server that the clients and the browser talk to."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from served import MODEL, RERANKER

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    words = [sys.executable, "-m", "rushlight", "serve", f"mine={MODEL}", f"ranks={RERANKER}", "--port", "0"]
    words += ["--json-output", "--api-key", "secret", "--host", "127.0.0.1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if '"serving"' in line:
                yield line.partition('"url":"')[2].partition('"')[0]
                break
        process.terminate()
        process.stderr.read()
        assert process.wait(30) == 0
