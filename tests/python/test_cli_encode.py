"""`rushlight encode`: what it writes, and how much it holds."""

from __future__ import annotations

import datetime as dt
import importlib
import io
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import tiny
from program import started

from rushlight import Model
from rushlight.__main__ import main

MODEL = tiny("bert-mean-normalize").model
PROMPTS = tiny("bert-cls-normalize-prompts").model
TEXTS = ["A small lamp.", "", "ünï ☃ 文字", "a, b; c", 'say "yes"', *(f"text {i}" for i in range(40))]
LINES = "\n".join(TEXTS)


def encoded(command, *words: object, stdin: str = LINES) -> list[dict]:
    done = command("encode", *words, "--keep-blank", "--force", stdin=stdin)
    assert (done.status, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def test_lines_become_lines(command, model: Model) -> None:
    lines = encoded(command, MODEL)
    assert [line["text"] for line in lines] == TEXTS
    rows = np.array([line["embedding"] for line in lines], np.float32)
    assert np.array_equal(rows, model.encode(TEXTS))  # bit by bit
    assert encoded(command, MODEL, "-", "--chunk-size", 7) == lines
    assert encoded(command, MODEL, "--batch-size", 1) == lines


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["--normalize"], {"normalize_embeddings": True}),
        (["--truncate-dim", 5], {"truncate_dim": 5}),
        (["--prompt", "query: "], {"prompt": "query: "}),
        (["--precision", "binary"], {"precision": "binary"}),
        (["--precision", "ubinary", "--truncate-dim", 12], {"precision": "ubinary", "truncate_dim": 12}),
        (["--precision", "int8"], {"precision": "int8"}),
        (["--precision", "uint8", "--normalize"], {"precision": "uint8", "normalize_embeddings": True}),
    ],
)
@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_options_give_what_encode_gives(command, tmp_path: Path, words, options, chunk_size: int) -> None:
    model = Model(tiny("bert-dense-tanh").model)
    expected = model.encode(TEXTS, **options)
    out = tmp_path / "out.npy"
    words = [model._engine.folder, *words, "--chunk-size", chunk_size]
    assert encoded(command, *words, "-o", out) == []
    assert (np.load(out).dtype, np.load(out).tolist()) == (expected.dtype, expected.tolist())
    lines = encoded(command, *words)
    assert np.array_equal(np.array([line["embedding"] for line in lines], expected.dtype), expected)


def test_prompts_and_roles(command, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    model = Model(PROMPTS)
    for words, expected in [
        (["--prompt-name", "query"], model.encode(TEXTS, prompt_name="query")),
        (["--query"], model.encode_query(TEXTS)),
        (["--document"], model.encode_document(TEXTS)),
        (["--document", "--prompt", "d: "], model.encode_document(TEXTS, prompt="d: ")),
    ]:
        assert encoded(command, PROMPTS, *words, "-o", out) == []
        assert np.array_equal(np.load(out), expected), words
    there = out.read_bytes()
    error = command("encode", PROMPTS, "--prompt-name", "no", "-o", out, "--force").error
    assert error == 'prompt_name: no prompt "no"; there are "document", "query"'
    assert out.read_bytes() == there


def test_numbers_alone(command, tmp_path: Path, model: Model) -> None:
    out = tmp_path / "OUT.TSV"
    encoded(command, MODEL, "-o", out)
    assert np.array_equal(np.loadtxt(out, np.float32, delimiter="\t"), model.encode(TEXTS))
    done = command("encode", MODEL, "--output-format", "tsv", "--precision", "ubinary", stdin="text")
    assert done.out == "\t".join(map(str, model.encode("text", precision="ubinary"))) + "\n"


def test_fields_of_the_input_stay(command, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": 7, "body": "ünï", "tags": [1, null]}\n{"body": "b"}\n', encoding="utf-8")
    first, second = encoded(command, MODEL, corpus, "--field", "body")
    embedding = first.pop("embedding")
    assert len(embedding) == 32
    assert first == {"id": 7, "body": "ünï", "tags": [1, None]}
    assert list(second) == ["body", "embedding"]
    again = tmp_path / "again.jsonl"
    again.write_text(json.dumps({"text": "a", "embedding": []}))
    assert "'embedding'" in command("encode", MODEL, again).error


def test_parquet(command, tmp_path: Path, model: Model) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    corpus, out = tmp_path / "corpus.csv", tmp_path / "out.parquet"
    corpus.write_text("id,title\n" + "".join(f"{i},text {i}\n" for i in range(25)))
    assert encoded(command, MODEL, corpus, "--field", "title", "--chunk-size", 10, "-o", out) == []
    table = parquet.read_table(out)
    assert parquet.ParquetFile(out).num_row_groups == 3
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[32]"
    assert table["id"].to_pylist() == [str(i) for i in range(25)]
    titles = table["title"].to_pylist()
    assert np.array_equal(np.stack(table["embedding"].to_numpy()), model.encode(titles))
    # And back: what was written is read.
    bits = tmp_path / "bits.npy"
    encoded(
        command, MODEL, out, "--field", "title", "--precision", "ubinary", "-o", bits, "--progress", "--no-progress"
    )
    assert np.array_equal(np.load(bits), model.encode(titles, precision="ubinary"))
    assert "'embedding'" in command("encode", MODEL, out, "--field", "title", "-o", tmp_path / "b.parquet").error


def test_parquet_holds_more_than_json(command, tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    corpus = tmp_path / "corpus.parquet"
    day = dt.date(2026, 11, 25)
    parquet.write_table(pyarrow.table({"text": ["a"], "day": [day]}), corpus)
    (line,) = encoded(command, MODEL, corpus)
    assert (line["text"], line["day"]) == ("a", "2026-11-25")
    encoded(command, MODEL, corpus, "-o", tmp_path / "out.parquet")
    assert parquet.read_table(tmp_path / "out.parquet")["day"].to_pylist() == [day]
    parquet.write_table(pyarrow.table({"text": ["a"], "raw": [b"a"]}), corpus)
    assert "bytes" in command("encode", MODEL, corpus).error


@pytest.mark.parametrize("second", ['{"text": "b", "more": 1}', '{"text": "b", "id": "one"}'])
def test_parquet_needs_fields_that_are_alike(command, tmp_path: Path, second: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out.parquet"
    lines = f'{{"text": "a", "id": 1}}\n{second}'
    words = ["encode", MODEL, "--format", "jsonl", "-o", out, "--chunk-size", 1]
    assert command(*words, stdin=lines).error.startswith("parquet: ")
    assert parquet.read_table(out)["id"].to_pylist() == [1]


@pytest.mark.parametrize("kind", ["npy", "jsonl", "tsv", "parquet"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_no_texts(command, tmp_path: Path, kind: str, precision: str) -> None:
    out = tmp_path / f"out.{kind}"
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    assert encoded(command, MODEL, "-o", out, "--truncate-dim", 5, "--precision", precision, stdin="") == []
    if kind == "npy":
        assert (np.load(out).shape, np.load(out).dtype) == ((0, 5), precision)
    elif kind == "parquet":
        from pyarrow import parquet

        assert parquet.read_table(out).shape == (0, 1)
    else:
        assert out.read_bytes() == b""


def test_parquet_without_pyarrow(command, tmp_path: Path, monkeypatch) -> None:
    there = importlib.import_module

    def absent(name: str):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return there(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    (tmp_path / "in.parquet").write_bytes(b"")
    (tmp_path / "out.parquet").write_bytes(b"there")
    for words in ([tmp_path / "in.parquet"], ["-", "-o", tmp_path / "out.parquet", "--force"]):
        assert command("encode", MODEL, *words).error.endswith("not installed: pip install pyarrow")
    assert (tmp_path / "out.parquet").read_bytes() == b"there"


def test_outputs_that_can_not_be(command, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "a"}\n')
    for words, message in [
        (["--output-format", "npy"], "stdout: npy needs a file: -o OUT.npy"),
        (["--output-format", "parquet"], "stdout: parquet needs a file: -o OUT.parquet"),
        (["-o", tmp_path / "out.bin"], "--output-format"),
        (["-o", tmp_path / "no" / "out.npy"], "No such file"),
        (["-o", tmp_path, "--output-format", "npy"], str(tmp_path)),
        ([corpus, "-o", corpus], f"{corpus}: is read"),
    ]:
        assert message in command("encode", MODEL, *words).error
    assert corpus.read_text() == '{"text": "a"}\n'


def test_what_is_written_before_an_error_stays(command, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    words = ["encode", MODEL, "--format", "jsonl", "-o", out, "--chunk-size", 1]
    error = command(*words, stdin='"a"\n"b"\n"c"\n{\n').error
    assert error.startswith("stdin:4: must be JSON")
    assert np.load(out).shape == (3, 32)


def test_long_texts(command) -> None:
    long = "word " * 200 + "\nshort"
    done = command("encode", MODEL, stdin=long)
    assert (done.status, len(done.out.splitlines())) == (0, 2)
    assert command("encode", MODEL, "--truncation", "ignore", stdin=long).err == ""
    error = command("encode", MODEL, "--truncation", "error", stdin=f"short\n\n{long}").error
    assert error == "stdin:3: has 202 tokens, more than max_seq_length, 64"


def test_one_text_has_no_ranges(command) -> None:
    assert "several texts" in command("encode", MODEL, "--precision", "int8", stdin="one").error


@pytest.mark.parametrize("bar", [[], ["--progress"]])
def test_warnings_are_lines_on_stderr(bar: list[str]) -> None:
    with started("encode", MODEL, *bar) as process:
        _, err = process.communicate(b"word " * 200)
    lines = re.split(rb"[\r\n]", err)
    assert b"rushlight: 1 of 1 texts were cut to 64 tokens; the longest has 202" in lines
    assert len(lines) == 2 or bar


def test_a_bar_shows_the_rate_and_the_time_left(command, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("text\n" * 30)
    done = command("encode", MODEL, corpus, "--progress", "--chunk-size", 10, "-o", tmp_path / "out.npy")
    assert (done.status, done.out) == (0, "")
    assert "/30 [" in done.err
    assert "text/s]" in done.err
    assert "100%" in done.err.splitlines()[-1]
    # A pipe's length is not known, and no one looks at a file.
    assert command("encode", MODEL, corpus, "-o", tmp_path / "out.npy", "--force").err == ""


def test_an_endless_input_is_two_chunks_ahead_at_most(monkeypatch) -> None:
    class Endless(io.RawIOBase):
        read_lines = 0

        def readable(self) -> bool:
            return True

        def __iter__(self):
            for i in itertools.count():
                self.read_lines = i + 1
                yield b"text %d\n" % i

    class Out(io.BytesIO):
        def write(self, data) -> int:
            held.append(endless.read_lines - 10 * len(held))
            if len(held) == 5:
                raise KeyboardInterrupt
            return super().write(data)

    held: list[int] = []
    endless = Endless()
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": endless}))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Out()))
    assert main(["encode", str(MODEL), "--chunk-size", "10"]) == 130
    assert held == [20] * 5


def test_memory_does_not_grow(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    program = f"""
import resource, sys
from rushlight.__main__ import main
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def run(lines):
    with open("corpus.txt", "w") as file:
        file.writelines(f"text {{i}}\\n" for i in range(lines))
    assert main(["encode", {str(MODEL)!r}, "corpus.txt", "-o", "out.npy", "--force"]) == 0
run(4_000)
before = peak()
run(40_000)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    # The embeddings alone are 5 MB. ru_maxrss is in KiB, on macOS in bytes.
    assert int(done.stdout) < 3_000 * (1024 if sys.platform == "darwin" else 1), done
    assert np.load(tmp_path / "out.npy", mmap_mode="r").shape == (40_000, 32)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file has another identity there")
def test_an_input_that_is_the_standard_one_is_not_written_over(tmp_path: Path) -> None:
    place = tmp_path / "in.jsonl"
    place.write_text('{"text": "a"}\n')
    with place.open("rb") as file, started("encode", MODEL, "--format", "jsonl", "-o", place, stdin=file) as process:
        _, err = process.communicate()
    assert process.returncode == 1
    assert b"is read" in err
    assert place.read_text() == '{"text": "a"}\n'


@pytest.mark.parametrize(
    ("stdin", "words", "said"),
    [
        ('{"other": "a"}', ["--format", "jsonl"], "'text'"),
        ("one text", ["--precision", "int8"], "several texts"),
        ("a\n\ud800", [], "surrogate|half|UTF-8"),
    ],
)
def test_what_is_there_is_not_written_over_before_there_is_something(command, tmp_path, stdin, words, said) -> None:
    place = tmp_path / "out.npy"
    place.write_bytes(b"good")
    done = command("encode", MODEL, "-o", place, "--force", *words, stdin=stdin.encode("utf-8", "surrogatepass"))
    assert re.search(said, done.error)
    assert place.read_bytes() == b"good"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_fields_that_no_file_holds_are_named(command, tmp_path, kind) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    stdin = json.dumps({"text": "a", "x": "\ud800"})
    done = command("encode", MODEL, "--format", "jsonl", "-o", tmp_path / f"out.{kind}", stdin=stdin)
    assert re.search("lone surrogate|surrogates", done.error)
    if kind == "jsonl":
        done = command(
            "encode",
            MODEL,
            "--format",
            "jsonl",
            "--force",
            "-o",
            tmp_path / "out.jsonl",
            stdin='{"text": "a", "x": NaN}',
        )
        assert "finite" in done.error


def test_a_broken_parquet_is_said_in_a_line(command, tmp_path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    place = tmp_path / "in.parquet"
    parquet.write_table(arrow.table({"text": [f"text {i}" for i in range(5000)]}), place, compression="none")
    data = bytearray(place.read_bytes())
    data[4:2000] = bytes(1996)
    place.write_bytes(data)
    done = command("encode", MODEL, place, "-o", tmp_path / "out.npy")
    assert re.search("in.parquet: after row 0: can't be read", done.error)


def test_parquet_has_no_numbers_beyond_64_bits(command, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    words = ["encode", MODEL, "--format", "jsonl", "-o", tmp_path / "out.parquet"]
    line = json.dumps({"text": "a", "id": 1 << 70})
    assert command(*words, stdin=line).error.startswith("parquet: fields must have the types")


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="there is no /dev/null")
def test_devices_are_read_and_written() -> None:
    with started("encode", MODEL, "--output-format", "jsonl", "-o", "/dev/null", stdin=subprocess.DEVNULL) as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
