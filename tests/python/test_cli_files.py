"""`rushlight encode` over many files, in all formats, and when it goes on after an interruption."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cases import DATA, tiny
from program import started

from rushlight import Model, MultiVectorModel, SparseModel, _core

MODEL = tiny("bert-mean-normalize").model
SPARSE = DATA / "sparse/splade-router-static-query/model"
VECTORS = DATA / "multi_vector/multivector-stanford-bert/model"
TEXTS = ["A small lamp.", "ünï ☃ 文字", "a, b; c", 'say "yes"', *(f"text {i}" for i in range(40))]


def ok(command, *words: object, **options) -> list[dict]:
    done = command("encode", MODEL, *words, **options)
    assert (done.status, done.err) == (0, ""), done
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.txt").write_text("\n".join(TEXTS[:10]) + "\n\n  \n", encoding="utf-8")
    (folder / "a.txt").write_text("\n".join(TEXTS[10:20]), encoding="utf-8")
    (folder / "c.txt.gz").write_bytes(gzip.compress("\n".join(TEXTS[20:]).encode()))
    return folder


def test_several_files_and_patterns(command, inputs: Path, model: Model) -> None:
    lines = ok(command, inputs / "b.txt", inputs / "[ac].txt*")
    assert [line["text"] for line in lines] == TEXTS
    rows = np.array([line["embedding"] for line in lines], np.float32)
    assert np.array_equal(rows, model.encode(TEXTS))
    assert "no file matches" in command("encode", MODEL, inputs / "*.csv").error
    assert "No such file" in command("encode", MODEL, inputs / "b.txt", inputs / "d.txt").error


def test_blank_lines_are_skipped_unless_asked(command, inputs: Path) -> None:
    assert len(ok(command, inputs / "b.txt")) == 10
    assert [line["text"] for line in ok(command, inputs / "b.txt", "--keep-blank")][10:] == ["", "  "]
    found = json.loads(command("search", MODEL, inputs / "b.txt", "lamp", "--jsonl", "--top-k", 100).out)
    assert sorted(hit["corpus_id"] for hit in found["hits"]) == list(range(10))


def test_zst(command, tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(b'{"text": "a"}\n{"text": "b"}\n'))
    assert [line["text"] for line in ok(command, tmp_path / "a.jsonl.zst")] == ["a", "b"]


@pytest.mark.skipif(importlib.util.find_spec("zstandard") is not None, reason="zstandard is installed")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python reads it")
def test_zst_without_its_package(command, tmp_path: Path) -> None:
    (tmp_path / "a.txt.zst").write_bytes(b"")
    assert command("encode", MODEL, tmp_path / "a.txt.zst").error.endswith("zst needs zstandard: pip install zstandard")


def test_broken_files(command, tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"a\n" * 1000)[:-12])
    (tmp_path / "b.txt.gz").write_bytes(b"not compressed")
    for name in ("a", "b"):
        assert f"{name}.txt.gz: can't be decompressed: " in command("encode", MODEL, tmp_path / f"{name}.txt.gz").error
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    assert "is compressed inside" in command("encode", MODEL, tmp_path / "a.parquet.gz").error


def test_delimiters(command, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id;text\n1;"a;b"\n2;c\n')
    assert [line["text"] for line in ok(command, tmp_path / "a.csv", "--delimiter", ";")] == ["a;b", "c"]
    assert ok(command, "--format", "csv", "--delimiter", r"\t", stdin="text\tid\na\t1\n")[0]["text"] == "a"
    for words, message in [
        ((tmp_path / "a.csv", "--delimiter", ";;"), "must be one character"),
        ((tmp_path / "a.csv", "--delimiter", '"'), "must be one character"),
        (("--delimiter", ";"), "is for csv, not txt"),
    ]:
        assert message in command("encode", MODEL, *words).error


def test_csv_output(command, tmp_path: Path, model: Model) -> None:
    out = tmp_path / "out.csv"
    stdin = "".join(json.dumps({"id": i, "text": f"{text}\n", "no": None}) + "\n" for i, text in enumerate(TEXTS))
    ok(command, "--format", "jsonl", "-o", out, "--chunk-size", 7, "--output-field", "vector", stdin=stdin)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["text"], row["no"]) for row in rows] == [
        (str(i), f"{t}\n", "") for i, t in enumerate(TEXTS)
    ]
    found = np.array([json.loads(row["vector"]) for row in rows], np.float32)
    assert np.array_equal(found, model.encode([f"{text}\n" for text in TEXTS]))
    (line,) = ok(command, "--output-field", "vector", stdin="a")
    assert list(line) == ["text", "vector"]
    assert "'text'" in command("encode", MODEL, "--output-field", "text", stdin="a").error


@pytest.mark.parametrize("role", ["query", "document"])
def test_sparse_models(command, tmp_path: Path, role: str) -> None:
    model = SparseModel(SPARSE)
    expected = getattr(model, f"encode_{role}")(TEXTS)
    words = ["encode", SPARSE, "--kind", "sparse", f"--{role}", "--chunk-size", 7]
    done = command(*words, stdin="\n".join(TEXTS))
    for line, row in zip(map(json.loads, done.out.splitlines()), expected, strict=True):
        assert line["embedding"]["indices"] == row.indices.tolist()
        assert np.array_equal(np.array(line["embedding"]["values"], np.float32), row.values)
    assert "rows of the same length" in command(*words, "-o", tmp_path / "out.npy", stdin="a").error
    parquet = pytest.importorskip("pyarrow.parquet")
    assert command(*words, "-o", tmp_path / "out.parquet", stdin="\n".join(TEXTS)).status == 0
    found = parquet.read_table(tmp_path / "out.parquet")["embedding"].to_pylist()
    assert [row["indices"] for row in found] == [row.indices.tolist() for row in expected]


def test_late_interaction_models(command, tmp_path: Path) -> None:
    expected = MultiVectorModel(VECTORS).encode_document(TEXTS)
    words = ["encode", VECTORS, "--kind", "multi-vector", "--chunk-size", 7]
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        if name.endswith("parquet"):
            parquet = pytest.importorskip("pyarrow.parquet")
        assert command(*words, "-o", tmp_path / name, stdin="\n".join(TEXTS)).status == 0
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    found = parquet.read_table(tmp_path / "out.parquet")["embedding"].to_pylist()
    for line, other, rows in zip(map(json.loads, lines), found, expected, strict=True):
        assert np.array_equal(np.array(line["embedding"], np.float32), rows)
        assert np.array_equal(np.array(other, np.float32), rows)
    for option in (["--truncate-dim", 5], ["--normalize"], ["--precision", "binary"], ["--chunk", 5]):
        assert "is for dense models, not multi-vector" in command(*words, *option, stdin="a").error


def test_chunks_of_long_texts(command, model: Model) -> None:
    long = " ".join(f"word{i}" for i in range(100))
    lines = ok(command, "--chunk", 20, "--overlap", 5, stdin=f"{long}\nshort")
    expected = model.chunk(long, max_tokens=20, overlap=5)
    assert [(line["text"], line["start"], line["end"]) for line in lines[:-1]] == expected
    assert [line["chunk"] for line in lines] == [*range(len(expected)), 0]
    rows = np.array([line["embedding"] for line in lines], np.float32)
    assert np.array_equal(rows, model.encode([*(text for text, _, _ in expected), "short"]))
    assert "--overlap: is for --chunk" in command("encode", MODEL, "--overlap", 5, stdin="a").error
    assert "--chunk: must leave room" in command("encode", MODEL, "--chunk", 1, stdin="a").error
    assert "--overlap: must be less than" in command("encode", MODEL, "--chunk", 20, "--overlap", 30, stdin="a").error


def test_threads_and_columns(command) -> None:
    before = _core.get_num_threads()
    try:
        ok(command, "--num-threads", 1, "--token", "secret", stdin="a")
        assert _core.get_num_threads() == 1
    finally:
        _core.set_num_threads(before)
    ok(command, "--truncate-dim", 32, stdin="a")
    error = command("encode", MODEL, "--truncate-dim", 33, stdin="a").error
    assert error == "--truncate-dim 33: embeddings have 32 columns"


def test_errors_name_the_file_and_the_line(command, tmp_path: Path) -> None:
    place = tmp_path / "long.txt"
    place.write_text("short\n\n" * 75 + "word " * 200 + "\n")
    said = f"{place}:151: has 202 tokens, more than max_seq_length, 64"
    for words in (
        ["encode", MODEL, place, "--chunk-size", 10], ["mine", MODEL, place], ["search", MODEL, place, "a lamp"],
        ["similarity", MODEL, "--files", place, place], ["rerank", DATA / "rerank/rerank-bert/model", "a", place],
        ["encode", SPARSE, place, "--kind", "sparse", "--document"],
    ):  # fmt: skip
        error = command(*words, "--truncation", "error").error
        assert error.startswith(f"{place}:151: has "), words
    assert command("encode", MODEL, place, "--truncation", "error").error == said


# Existing outputs, and what an interrupted run has left


def test_an_existing_output_is_not_overwritten(command, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("there")
    error = command("encode", MODEL, "-o", out, stdin="a").error
    assert error == f"{out}: exists; --force overwrites it, --resume continues it"
    assert out.read_text() == "there"
    ok(command, "-o", out, "--force", stdin="a")
    assert out.read_text() != "there"
    words = ["similarity", MODEL, "--files", "-", "-"]
    assert command(*words[:-1], out, "-o", out).error  # read as an input


@pytest.mark.parametrize("kind", ["npy", "jsonl", "tsv", "csv"])
@pytest.mark.parametrize("cut", [1, 37, 1500])
def test_an_output_is_continued(command, tmp_path: Path, kind: str, cut: int) -> None:
    whole, out = tmp_path / f"whole.{kind}", tmp_path / f"out.{kind}"
    words = ["--format", "jsonl", "--chunk-size", 7, "--resume"]
    stdin = "".join(json.dumps({"id": i, "text": f'{text}\n"'}) + "\n" for i, text in enumerate(TEXTS))
    ok(command, *words, "-o", whole, stdin=stdin)  # nothing to continue yet
    data = whole.read_bytes()
    for end in (len(data) - cut, len(data)):
        out.write_bytes(data[:end])
        ok(command, *words, "-o", out, stdin=stdin)
        assert out.read_bytes() == data
    if kind == "npy":
        assert np.load(out).shape == (len(TEXTS), 32)


@pytest.mark.parametrize("kind", ["npy", "jsonl", "csv"])
def test_an_output_of_another_run_is_not_continued(command, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"out.{kind}"
    ok(command, "-o", out, stdin="a\nb\n")
    data = out.read_bytes()
    for words, stdin in [(["--prompt", "p "], "a\nb\nc\n"), ([], "a\nc\nd\n")]:
        error = command("encode", MODEL, "-o", out, "--resume", *words, stdin=stdin).error
        assert "the last row of the file differs" in error
        assert out.read_bytes() == data
    if kind == "npy":
        assert (
            "which are not those"
            in command("encode", MODEL, "-o", out, "--resume", "--truncate-dim", 5, stdin="a").error
        )
        error = command("encode", MODEL, "-o", out, "--resume", "--precision", "int8", stdin="a").error
        assert error.startswith("--resume: int8")


def test_a_killed_run_goes_on(command, tmp_path: Path) -> None:
    texts = [f"{i} lamp" for i in range(30_000)]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    out = tmp_path / "out.npy"
    words = ["encode", MODEL, tmp_path / "in.txt", "-o", out, "--chunk-size", 50, "--resume"]
    with started(*words, stdin=subprocess.DEVNULL) as process:
        while not out.exists() or out.stat().st_size < 20_000:
            time.sleep(0.01)
        process.kill() if sys.platform == "win32" else process.send_signal(signal.SIGKILL)
        process.communicate()
    left = len(np.load(out, mmap_mode="r"))
    assert 0 < left < len(texts)
    assert command(*words).status == 0
    assert np.array_equal(np.load(out), Model(MODEL).encode(texts))


# Folders


def table(folder: Path):
    pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    return pa.concat_tables([pa.parquet.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def test_a_folder_as_output(command, inputs: Path, tmp_path: Path, model: Model) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    words = [inputs / "*", "-o", f"{out}/", "--rows-per-file", 7, "--output-field", "vector"]
    ok(command, *words)
    found = table(out)
    assert sorted(found["text"].to_pylist()) == sorted(TEXTS)
    assert len(list(out.glob("*.parquet"))) == 2 + 2 + 4
    assert str(found.schema.field("vector").type) == "fixed_size_list<element: float>[32]"
    rows = np.array(found["vector"].to_pylist(), np.float32)
    assert np.array_equal(rows, model.encode(found["text"].to_pylist()))
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    gone = sorted(before)[2]
    gone.unlink()
    (inputs / "empty.txt").write_text("")
    ok(command, *words)
    after = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert {path for path in before if before[path] != after[path]} == {gone}
    assert table(out).equals(found)
    # Further inputs are added; other settings and changed inputs are errors.
    (inputs / "d.txt").write_text("more")
    ok(command, *words)
    assert len(table(out)) == len(TEXTS) + 1
    assert "was begun with role None, now 'query'" in command("encode", MODEL, *words, "--query").error
    (inputs / "d.txt").write_text("changed")
    assert "d.txt: has changed since" in command("encode", MODEL, *words).error
    ok(command, *words, "--force")
    assert "changed" in table(out)["text"].to_pylist()
    assert len(table(out)) == len(TEXTS) + 1


def test_columns_of_parquet_stay_as_they_are(command, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    given = pa.table({"id": pa.array(range(44), pa.int16()), "text": TEXTS, "tags": [[i, None] for i in range(44)]})
    pa.parquet.write_table(given, tmp_path / "in.parquet", row_group_size=9)
    ok(command, tmp_path / "in.parquet", "-o", f"{tmp_path}/out/", "--rows-per-file", 10)
    found = table(tmp_path / "out").sort_by("id")
    assert found.drop_columns("embedding").equals(given)
    rows = np.array(found["embedding"].to_pylist(), np.float32)
    assert np.array_equal(rows, Model(MODEL).encode(TEXTS))


def test_texts_that_fail_are_named_or_rejected(command, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    place = tmp_path / "in.jsonl"
    texts = ["a", None, "word " * 200, "b"]
    place.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)))
    words = ["encode", MODEL, place, "-o", f"{tmp_path}/out/", "--truncation", "error"]
    assert command(*words).error == f"{place}:2: must be a str, or a pair of two, got NoneType"
    done = command(*words, "--skip-errors", "--force")
    assert (done.status, done.err) == (0, f"rushlight: 2 texts were rejected: {tmp_path}/out/_rejected\n")
    assert table(tmp_path / "out")["id"].to_pylist() == [0, 3]
    (rejected,) = (tmp_path / "out/_rejected").glob("*.jsonl")
    rows = [json.loads(line) for line in rejected.read_text().splitlines()]
    assert [row["place"] for row in rows] == [f"{place}:2", f"{place}:3"]
    assert rows[0]["error"] == "null"
    assert "has 202 tokens" in rows[1]["error"]


def test_what_is_not_for_folders(command, inputs: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = ["-o", f"{tmp_path}/out/"]
    for words, message in [
        (["-", *out], "stdin: a folder as output needs files"),
        ([inputs / "a.txt", *out, "--chunk", 5], "--chunk: is for one file"),
        ([inputs / "a.txt", *out, "--precision", "int8"], "--precision int8: takes its ranges"),
        ([inputs / "a.txt", "--engine", "ray"], "--engine: needs a folder as output"),
        ([inputs / "a.txt", "-o", tmp_path / "a.npy", "--workers", 2], "--workers: needs a folder"),
        ([inputs / "a.txt", "-o", inputs], "has other files"),
    ]:
        assert message in command("encode", MODEL, *words).error
