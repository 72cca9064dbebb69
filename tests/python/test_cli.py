"""The command line as a program: its words, exit statuses and errors, pipes, Ctrl-C; info and download."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import struct
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, TINY, other, tiny
from hub import Hub
from program import PROGRAM, started

import rushlight

MODEL = tiny("bert-mean-normalize").model
COMMANDS = ["encode", "similarity", "search", "rerank", "mine", "cluster", "evaluate", "serve", "info", "download"]


def test_version_and_help(command) -> None:
    assert command("--version").out == f"rushlight {rushlight.__version__}\n"
    done = command("--help")
    assert done.status == 0
    assert re.findall(r"^  ([a-z]+)  ", done.out, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_examples_and_fits_a_terminal(command, name: str) -> None:
    done = command(name, "--help")
    assert done.status == 0
    _, examples = done.out.split("\nexamples:\n")
    assert all(f"rushlight {name} " in line or line.strip() == f"rushlight {name}" for line in examples.splitlines())
    assert max(map(len, done.out.splitlines())) <= 120


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "COMMAND"),
        (["walk"], "'walk'"),
        (["encode"], "MODEL"),
        (["encode", "m", "--precision", "float8"], "'float8'"),
        (["encode", "m", "--chunk-size", "0"], "at least 1, got '0'"),
        (["encode", "m", "--truncate-dim", "many"], "at least 1, got 'many'"),
        (["encode", "m", "--query", "--document"], "--document"),
        (["encode", "m", "--prompt", "a", "--prompt-name", "b"], "--prompt-name"),
        (["encode", "m", "--norm"], "--norm"),  # options are not guessed from their beginnings
        (["info", "a", "b"], "b"),
    ],
)
def test_words_that_make_no_command(command, words: list[str], message: str) -> None:
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    line, rest = done.err.split("\n")
    assert rest == ""
    assert line.startswith("rushlight")
    assert message in line
    assert "--help" in line


def test_options_may_stand_anywhere(command, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("lamp\nmoney\n")
    for first, *others in [
        (["encode", MODEL, corpus, "--normalize"], ["encode", "--normalize", MODEL, corpus],
         ["encode", MODEL, "--normalize", corpus]),
        (["search", MODEL, corpus, "a", "b", "--top-k", "1"], ["search", "--top-k", "1", MODEL, corpus, "a", "b"],
         ["search", MODEL, corpus, "--top-k", "1", "a", "b"], ["search", MODEL, corpus, "a", "--top-k", "1", "b"]),
        (["rerank", other("rerank")[0] / "model", "a", corpus, "--jsonl"],
         ["rerank", other("rerank")[0] / "model", "a", "--jsonl", corpus]),
    ]:  # fmt: skip
        expected = command(*first)
        assert (expected.status, expected.err) == (0, "")
        assert len(expected.out.splitlines()) >= 2
        for words in others:
            assert command(*words) == expected
    assert command("similarity", MODEL, "--", "-a", "-a").out.startswith("1")


def test_errors_are_one_line_with_status_1(command, tmp_path: Path) -> None:
    error = command("encode", "nobody/nothing").error
    assert "nobody/nothing" in error
    assert "; the hub: not asked" in error
    assert (
        command("encode", MODEL, tmp_path / "none.txt").error == f"{tmp_path / 'none.txt'}: No such file or directory"
    )
    assert command("encode", MODEL, "--device", "abacus").error.startswith("device")


def test_info_of_this_rushlight(command) -> None:
    assert f"version: {rushlight.__version__}\n" in command("info").out
    told = json.loads(command("info", "--json").out)
    assert told == json.loads(json.dumps(rushlight.info(), default=str))


@pytest.mark.parametrize(
    ("kind", "folders"),
    [
        ("Model", [DATA / "tiny" / name for name in TINY[::9]]),
        ("Reranker", [folder for folder in other("rerank") if (folder / "model" / "modules.json").exists()]),
        ("SparseModel", other("sparse")),
        ("MultiVectorModel", other("multi_vector")),
    ],
)
def test_info_of_models_of_all_kinds(command, kind: str, folders: list[Path]) -> None:
    for folder in folders:
        done = command("info", folder / "model", "--json")
        assert json.loads(done.out)["kind"] == kind, (folder, done)


def test_info_of_a_model(command) -> None:
    out = command("info", tiny("bert-cls-normalize-prompts").model).out
    assert "\nembedding_dimension: 32\n" in out
    assert '"query": "Represent this sentence' in out
    assert "config.json" in command("info", DATA).error


def test_download_prints_folders(command, tmp_path: Path) -> None:
    assert command("download", MODEL, tmp_path).out == f"{MODEL}\n{tmp_path}\n"
    done = command("download", MODEL, "nobody/nothing", "--cache-folder", tmp_path)
    assert done.out == f"{MODEL}\n"
    assert str(tmp_path) in done.error


def test_download_from_the_hub(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("HF_", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    words = ["org/small", "--cache-folder", tmp_path]
    with closing(Hub()) as hub:
        hub.add("org/small", MODEL)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert "local_files_only" in command("download", *words, "--local-files-only").error
        done = command("download", *words, "--revision", "main")
        assert (done.status, done.err) == (0, "")
        assert Path(done.out.removesuffix("\n")).is_relative_to(tmp_path)
        assert "org/other: no such repository" in command("download", "org/other").error
    # Present files are used without a request.
    assert command("download", *words).out == done.out
    assert command("encode", *words, stdin="lamp").out == command("encode", MODEL, stdin="lamp").out


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise there")
@pytest.mark.parametrize("words", [["encode", MODEL, "--chunk-size", "1"], ["info"], ["--help"]])
def test_whoever_reads_may_go(words: list[object]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with started(*words, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(b"text\n" * 1000)
    assert err == b""
    # argparse takes no notice where it is its own writing that fails.
    assert process.returncode in ({0, 141} if words == ["--help"] else {141})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, started("info", stdout=full) as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (1, b"rushlight: error: No space left on device\n")


@pytest.mark.parametrize(
    ("words", "bar"),
    [(["-o", "out.npy"], True), ([], False), (["--progress"], True), (["-o", "out.npy", "--no-progress"], False)],
)
def test_a_bar_is_shown_on_a_terminal_that_has_no_results(tmp_path: Path, words: list[str], bar: bool) -> None:
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    us, them = os.openpty()
    fcntl.ioctl(us, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    with started("encode", MODEL, *words, stdout=them, stderr=them, cwd=tmp_path) as process:
        os.close(them)
        process.communicate(b"text\n")
    assert process.returncode == 0
    shown = b""
    with suppress(OSError):  # as Linux says that no one writes any more
        while more := os.read(us, 1000):
            shown += more
    os.close(us)
    assert (b"text/s]" in shown) == bar


@pytest.fixture
def interruptible():
    """Processes that are started take notice of SIGINT, which those of a background job, and theirs, ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("kind", ["npy", "jsonl", "parquet"])
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.usefixtures("interruptible")
def test_signals_leave_what_was_written(tmp_path: Path, kind: str, sent: int, status: int, model) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"out.{kind}"
    with started("encode", MODEL, "-o", out, "--chunk-size", "10") as process:
        size = -1
        # A stream without end, and a pause of its writer in the midst of a chunk.
        for i in range(1_000_000):
            process.stdin.write(f"text {i}\n".encode())
            if i % 1000 == 5:
                process.stdin.flush()
                if out.exists() and size not in {-1, out.stat().st_size}:
                    break
                size = out.stat().st_size if out.exists() else -1
        process.send_signal(sent)
        _, err = process.communicate()
    assert (process.returncode, err) == (status, b"")
    if kind == "npy":
        rows = np.load(out)
    elif kind == "jsonl":
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [line["text"] for line in lines] == [f"text {i}" for i in range(len(lines))]
        rows = np.array([line["embedding"] for line in lines], np.float32)
    else:
        from pyarrow import parquet

        rows = np.stack(parquet.read_table(out)["embedding"].to_numpy())
    assert len(rows) >= 10
    assert np.array_equal(rows, model.encode([f"text {i}" for i in range(len(rows))]))


def test_a_chunk_is_handed_on_when_the_next_one_is_there() -> None:
    with started("encode", MODEL, "--chunk-size", "1") as process:
        process.stdin.write(b"first\nsecond\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == "first"
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_a_kill_leaves_an_npy(tmp_path: Path, model) -> None:
    out = tmp_path / "out.npy"
    with started("encode", MODEL, "-o", out, "--chunk-size", "10") as process:
        process.stdin.write(b"text\n" * 200)
        process.stdin.flush()
        while not (out.exists() and out.stat().st_size > 5000):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert np.array_equal(np.load(out)[5], model.encode("text"))


@pytest.mark.skipif(os.name == "nt", reason="bash is not everywhere there")
def test_streams_that_are_closed() -> None:
    for redirection, name in [("<&-", "stdin"), (">&-", "stdout")]:
        line = f'{shlex.join(PROGRAM)} encode "{MODEL}" {redirection}'
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, input="text\n")
        assert (done.returncode, done.stderr) == (1, f"rushlight: error: {name}: is closed\n")
