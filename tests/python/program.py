"""The command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = [sys.executable, "-W", "error", "-m", "rushlight"]
# Python must buffer as it does by itself.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@contextmanager
def started(*words: object, **options) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command, all of whose streams are pipes; one that hangs is ended after a while."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen([*PROGRAM, *map(str, words)], env=ENVIRONMENT, **options) as process:
        watch = threading.Timer(60, process.kill)
        watch.start()
        try:
            yield process
        finally:
            watch.cancel()
