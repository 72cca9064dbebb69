"""Inputs of the command line."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rushlight._cli.reading import Source, source
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

# Without the zero character, which csv of Python 3.10 does not take.
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))


def read(data: bytes | str, kind: str = "txt", field: str = "text") -> list[str]:
    data = data.encode() if isinstance(data, str) else data
    return Source(io.BytesIO(data), "in", kind, field, keep_blank=True).texts()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\ufeff"))))
def test_each_line_of_a_txt_is_a_text(texts: list[str]) -> None:
    assert read("".join(f"{text}\n" for text in texts)) == texts
    assert read("".join(f"{text}\r\n" for text in texts)) == texts


def test_lines_end_by_line_feeds_alone() -> None:
    assert read("") == []
    assert read("a\n\nb") == ["a", "", "b"]
    assert read("a\x0bb\x0cc\x85d\u2028e\rf\n") == ["a\x0bb\x0cc\x85d\u2028e\rf"]
    assert read(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n") == ["a", "\ufeffb"]  # the byte order mark, and a character


@given(TEXTS)
def test_texts_of_jsonl(texts: list[str]) -> None:
    assert read("".join(json.dumps({"id": 1, "text": text}) + "\n\n" for text in texts), "jsonl") == texts
    assert read("\n".join(json.dumps(text, ensure_ascii=False) for text in texts), "jsonl") == texts


@given(TEXTS)
def test_texts_of_csv(texts: list[str]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "body"], *((i, text) for i, text in enumerate(texts))])
    assert read(out.getvalue(), "csv", "body") == texts


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r"))), st.booleans())
def test_texts_of_tsv(texts: list[str], windows: bool) -> None:
    end = "\r\n" if windows else "\n"
    lines = ["id\tbody", *(f"{i}\t{text}" for i, text in enumerate(texts))]
    assert read(end.join([*lines, ""]), "tsv", "body") == texts
    assert read(end.join(["body", *texts, ""]), "tsv", "body") == texts  # of one column, where an empty line is a text


def test_quotes_of_a_tsv_are_characters() -> None:
    texts = ['"Hello, said he', 'and she said "Hi"', 'last"', '"', '""', '5" screen', '"all" of it', "a,b", "a\rb"]
    assert read("id\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts)), "tsv") == texts


def test_blank_lines_of_tables() -> None:
    assert read("\nid,text\n\n1,a\n\n", "csv") == ["a"]
    assert read('\ntext\n\na\n""\n', "csv") == ["a", ""]
    assert read("\nid\ttext\n\n1\ta\n\n", "tsv") == ["a"]
    assert read("id\ttext\n1\t\n", "tsv") == [""]
    assert read("", "csv") == read("", "tsv") == read("text\n", "csv") == read("text\n", "tsv") == []


def test_a_long_text_of_csv() -> None:
    assert read("text\n" + "a" * 1_000_000 + "\n", "csv") == ["a" * 1_000_000]


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("txt", b"a\n\xff\n", "in:2: must be UTF-8: invalid start byte at byte 0 of the line"),
        ("jsonl", b'"a"\n"\xff"\n', "in:2: must be UTF-8"),
        ("csv", b"text\n\xe4\n", "in:2: must be UTF-8"),
        ("jsonl", "{}\n", "in:1: no field 'text'; there are none (select one with --field)"),
        ("jsonl", '\n{"text": "a"}\n{"id": 1, "body": "b"}\n', "in:3: no field 'text'; there are 'id', 'body'"),
        ("jsonl", '{"text": "a"}\n{"text": 5}\n', "in:2: field 'text': must be a str, got int"),
        ("jsonl", '{"text": null}\n', "in:1: field 'text': must be a str, got NoneType"),
        ("jsonl", '{"text": "\\ud800"}\n', "in:1: field 'text': must be valid Unicode"),
        ("jsonl", '{"text": "a"}\n{"text": "b"\n', "in:2: must be JSON: Expecting"),
        ("jsonl", "[1, 2]\n", "in:1: must be an object or a str, got [1, 2]"),
        ("jsonl", "[" * 100_000, "in:1: must be JSON: "),
        ("csv", "id,body\n1,a\n", "in:2: no field 'text'; there are 'id', 'body'"),
        ("csv", "text,id\na,1\nb\n", "in:3: must have 2 columns, as the first line, got 1"),
        ("csv", "text,id\na,b,1\n", "in:2: must have 2 columns, as the first line, got 3"),
        ("csv", "text,text\na,b\n", "in:1: a column's name is repeated: 'text', 'text'"),
        ("csv", 'text\n"a\n', "in:2: must be csv: unexpected end of data"),
        (
            "csv",
            'id,text\n1,a\n2,"b\n3,c\n4,d\n',
            "in:3: must be csv: unexpected end of data (this row goes on to line 5)",
        ),
        ("csv", 'text\na\n"b\n"c"\n', "in:3: must be csv: ',' expected after '\"' (this row goes on to line 4)"),
        ("csv", 'id,text\n1,"a\nb\nc"\n2\n', "in:5: must have 2 columns"),
        ("csv", 'id,text\n"1\n2\n3"\n', "in:2: must have 2 columns"),
        ("csv", 'id,text\n""\n', "in:2: must have 2 columns, as the first line, got 1"),
        ("csv", 'id,body\n1,"a\nb"\n', "in:2: no field 'text'"),
        ("tsv", "id\ttext\n1\ta\tb\n", "in:2: must have 2 columns, as the first line, got 3"),
        ("tsv", "id\ttext\n1\ta\n2\n", "in:3: must have 2 columns, as the first line, got 1"),
        ("tsv", "text\ttext\n", "in:1: a column's name is repeated: 'text', 'text'"),
        ("tsv", b"text\n\xff\n", "in:2: must be UTF-8"),
        ("tsv", "id\tbody\n1\ta\n", "in:2: no field 'text'; there are 'id', 'body'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(kind: str, data: bytes | str, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        read(data, kind)
    assert str(error.value).startswith(message)


def test_what_comes_before_an_error_is_given() -> None:
    records = Source(io.BytesIO(b'"a"\n"b"\n{\n'), "in", "jsonl", "text").records()
    assert [next(records).text, next(records).text] == ["a", "b"]
    with pytest.raises(InvalidInputError, match="in:3"):
        next(records)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.txt", "txt"), ("a", "txt"), ("a.JSONL", "jsonl"), ("a.ndjson", "jsonl"), ("a.csv", "csv"), ("a.tsv", "tsv")],
)
def test_the_kind_by_the_ending(tmp_path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("text\na\n")
    with source(str(tmp_path / name)) as opened:
        assert opened.kind == kind
    with source(str(tmp_path / name), "csv") as opened:
        assert opened.texts() == ["a"]


def test_no_kind_and_no_field(tmp_path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with (
        pytest.raises(InvalidArgumentError, match=r"a\.json: unknown extension; give --format: .* jsonl"),
        source(str(tmp_path / "a.json")),
    ):
        pass
    with pytest.raises(InvalidArgumentError, match="--field body: a txt has none"), source("-", None, "body"):
        pass
    with pytest.raises(FileNotFoundError), source(str(tmp_path / "no.txt")):
        pass


@given(st.integers(0, 20))
def test_texts_are_counted_beforehand(count: int) -> None:
    opened = Source(io.BytesIO(b"text\n" * count), "in", "txt", "text")
    assert opened.count() == count
    assert len(opened.texts()) == count


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_pipes() -> None:
    assert Source(Pipe(b"a\n"), "in", "txt", "text").count() is None
    with pytest.raises(InvalidInputError, match="in: parquet can't be read from a pipe"):
        Source(Pipe(b""), "in", "parquet", "text").texts()


def test_parquet() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def written(table: dict) -> Source:
        file = io.BytesIO()
        parquet.write_table(pyarrow.table(table), file, row_group_size=7)
        return Source(file, "in", "parquet", "text")

    texts = [f"ünï {i}" for i in range(2500)]
    opened = written({"id": np.arange(2500), "text": pyarrow.array(texts).dictionary_encode()})
    assert opened.count() == 2500
    assert opened.texts() == texts
    for column, message in [(["a", None], "row 2: field 'text': .*NoneType"), ([b"a"], "row 1: field 'text': .*bytes")]:
        with pytest.raises(InvalidInputError, match=f"in: {message}"):
            written({"text": column}).texts()
    with pytest.raises(InvalidInputError, match="in: row 1: no field 'text'; there are 'id'"):
        written({"id": [1]}).texts()
    with pytest.raises(InvalidInputError, match="in: must be parquet"):
        Source(io.BytesIO(b"text\n" * 100), "in", "parquet", "text").texts()


def test_a_parquet_whose_strings_are_not_utf_8() -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["lamp", "money"]}), file, compression="none", use_dictionary=False)
    with pytest.raises(InvalidInputError, match="in: after row 0: can't be read: "):
        read(file.getvalue().replace(b"money", b"m\xffney"), "parquet")
