"""Fixtures of all tests."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass

import pytest
from cases import tiny

from rushlight import Model
from rushlight.__main__ import main

# Nothing is downloaded from where the developer happens to be; tests of downloading have a hub of their own.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def model() -> Model:
    return Model(tiny("bert-mean-normalize").model)


@dataclass(frozen=True)
class Done:
    """Result of a command."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """Error message, which must be one line."""
        assert self.status == 1, self
        line, rest = self.err.split("\n")
        assert rest == ""
        return line.removeprefix("rushlight: error: ")


@pytest.fixture
def command(capsysbinary, monkeypatch):
    """Run a command in this process: its words, and what is on its standard input."""

    def run(*words: object, stdin: str | bytes = b"") -> Done:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.setenv("NO_COLOR", "1")  # help is coloured from Python 3.14 on
        try:
            status = main([str(word) for word in words])
        except SystemExit as stop:
            status = stop.code
        return Done(status, *(text.decode() for text in capsysbinary.readouterr()))

    return run
