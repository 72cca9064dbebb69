"""Programs whose standard streams are none: without a console, closed, broken, or objects of their own."""

from __future__ import annotations

import io
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, tiny
from hub import Hub
from program import PROGRAM, started

from rushlight import Model, MultiVectorModel, Reranker, SparseModel, _progress, util
from rushlight.__main__ import main

MODEL = tiny("bert-mean-normalize").model
TEXTS = ["one text", "another", "a third one"]


class Broken(io.StringIO):
    """A pipe that nobody reads any more."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


class Bare:
    """Stand-in for a stream in programs without a console."""

    def write(self, text: str) -> None:
        raise RuntimeError(text)


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS = {
    "none": lambda: None,
    "closed": closed,
    "broken": Broken,
    "bare": Bare,
    "ascii": lambda: io.TextIOWrapper(io.BytesIO(), "ascii"),
}
# Each call that shows a bar: with it, and without.
CALLS = {
    "Model": lambda bar: Model(MODEL).encode(TEXTS, show_progress_bar=bar),
    "Reranker": lambda bar: Reranker(DATA / "rerank" / "rerank-bert" / "model").predict(
        [(text, "b") for text in TEXTS], show_progress_bar=bar
    ),
    "SparseModel": lambda bar: (
        SparseModel(DATA / "sparse" / "splade-bert-max" / "model").encode(TEXTS, show_progress_bar=bar).to_dense()
    ),
    "MultiVectorModel": lambda bar: np.concatenate(
        MultiVectorModel(DATA / "multi_vector" / "multivector-native-bert" / "model").encode_query(
            TEXTS, show_progress_bar=bar
        )
    ),
    "pool": lambda bar: Model(MODEL).encode(TEXTS, device=["cpu", "cpu"], chunk_size=1, show_progress_bar=bar),
    "paraphrase_mining": lambda bar: util.paraphrase_mining(Model(MODEL), TEXTS, show_progress_bar=bar),
    "community_detection": lambda bar: util.community_detection(np.eye(4), 0.5, 1, show_progress_bar=bar),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("call", CALLS)
def test_a_bar_that_can_not_be_shown_is_left_out(monkeypatch, call: str, stream: str) -> None:
    expected = CALLS[call](False)
    monkeypatch.setattr(sys, "stderr", STREAMS[stream]())
    assert np.array_equal(CALLS[call](True), expected)


@pytest.mark.parametrize("call", CALLS)
def test_a_bar_is_shown_where_it_can_be(monkeypatch, call: str) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    CALLS[call](True)
    assert "100%" in sys.stderr.getvalue()


@pytest.mark.parametrize("stream", [None, closed(), Broken()], ids=["none", "closed", "broken"])
def test_a_bar_needs_no_stdout(monkeypatch, stream) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "stdout", stream)
    assert Model(MODEL).encode(TEXTS, show_progress_bar=True).shape == (3, 32)


def test_a_bar_that_can_not_be_shown_stands_in_no_others_way(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken())
    Model(MODEL).encode(TEXTS, show_progress_bar=True)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    other = threading.Thread(target=CALLS["Model"], args=[True], daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
    assert "100%" in sys.stderr.getvalue()


@pytest.mark.parametrize("stream", STREAMS)
def test_a_download_needs_no_console(monkeypatch, tmp_path: Path, stream: str, caplog) -> None:
    for name in [*os.environ]:
        if name.startswith(("HF_", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with closing(Hub()) as hub, caplog.at_level(logging.INFO, logger="rushlight"):
        hub.add("org/small", MODEL)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr(sys, "stderr", STREAMS[stream]())
        assert Model("org/small", cache_folder=tmp_path).encode("a").shape == (32,)
    assert "downloading org/small" in caplog.messages


@pytest.mark.parametrize("stream", STREAMS)
def test_no_person_looks_at_what_is_no_stream(stream: str) -> None:
    assert not _progress.is_terminal(STREAMS[stream]())


# The command line


@pytest.mark.skipif(os.name == "nt", reason="bash is not everywhere there")
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("encode nobody/nothing --local-files-only", 1),
        ("walk", 2),
        (f"encode {shlex.quote(str(MODEL))} --progress", 0),
        (f"encode {shlex.quote(str(MODEL))} --truncation warn", 0),
    ],
)
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_command_ends_as_it_would_without_stderr(words: str, status: int, redirection: str) -> None:
    if redirection == "2>/dev/full" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    line = f"{shlex.join(PROGRAM)} {words} {redirection}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=False, input=b"word " * 200)
    assert done.returncode == status
    assert (done.stdout == b"") == (status > 0)


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise there")
def test_a_command_ends_as_it_would_where_nobody_reads_stderr(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with started("encode", MODEL, "--progress", "-o", tmp_path / "out.npy", stderr=writer) as process:
        os.close(writer)
        process.communicate(b"text\n" * 3000)
    assert process.returncode == 0
    assert len(np.load(tmp_path / "out.npy")) == 3000


def test_a_command_takes_and_gives_text_where_streams_have_no_bytes(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("äöü\nb\n"))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["encode", str(MODEL), "--normalize"]) == 0
    told = [json.loads(line) for line in sys.stdout.getvalue().splitlines()]
    assert [line["text"] for line in told] == ["äöü", "b"]
    assert np.array_equal(np.array([line["embedding"] for line in told], np.float32), Model(MODEL).encode(["äöü", "b"]))
    sys.stdout.truncate(0)
    assert main(["info"]) == 0
    assert "version: " in sys.stdout.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["encode", str(MODEL), "--output-format", "npy"]) == 1
    assert sys.stderr.getvalue().startswith("rushlight: error: stdout: npy needs a file")


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_command_says_which_stream_is_closed(monkeypatch, stream: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, stream, closed())
    assert main(["encode", str(MODEL)]) == 1
    assert sys.stderr.getvalue() == f"rushlight: error: {stream}: is closed\n"


@pytest.mark.parametrize("stream", STREAMS)
def test_a_command_in_a_program_without_a_console(monkeypatch, stream: str) -> None:
    monkeypatch.setattr(sys, "stderr", STREAMS[stream]() if stream != "bare" else None)
    assert main(["encode", "nobody/nothing", "--local-files-only"]) == 1
    with pytest.raises(SystemExit) as stop:
        main(["walk"])
    assert stop.value.code == 2


@pytest.mark.skipif(os.name == "nt", reason="file names are no bytes there")
def test_results_are_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("Grüße\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    words = ["search", MODEL, tmp_path / "corpus.txt", "ü", "--progress"]
    done = subprocess.run([*PROGRAM, *map(str, words)], capture_output=True, check=True, env=environment)
    query, hit = done.stdout.decode().splitlines()
    assert query == "ü"
    assert hit.endswith("\tGrüße")


@pytest.mark.skipif(os.name == "nt", reason="file names are no bytes there")
def test_a_folder_is_found_whatever_the_locale_says(tmp_path: Path) -> None:
    folder = tmp_path / "Modèle"
    shutil.copytree(MODEL, folder)
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    code = """if True:
        import pickle, sys
        from rushlight import Model
        model = pickle.loads(pickle.dumps(Model(sys.argv[1])))
        model.save(sys.argv[1] + "-saved")
        print(model.encode("a").tolist())
    """
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, check=True, env=environment)
    assert json.loads(done.stdout) == Model(MODEL).encode("a").tolist()
    assert np.array_equal(Model(f"{folder}-saved").encode("a"), Model(MODEL).encode("a"))
