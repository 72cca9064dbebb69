"""`rushlight.integrations.polars` and `.duckdb`."""

from __future__ import annotations

import numpy as np
import pytest
from checks import FOLDER, MANY, TEXTS

pl = pytest.importorskip("polars")
duckdb = pytest.importorskip("duckdb")

from rushlight.integrations.duckdb import register
from rushlight.integrations.polars import embed


def test_polars(model) -> None:
    expected = model.encode_document(TEXTS)
    frame = pl.DataFrame({"text": TEXTS})
    for texts in ("text", pl.col("text")):
        found = frame.with_columns(embedding=embed(texts, FOLDER, role="document"))
        assert found.schema["embedding"] == pl.Array(pl.Float32, model.embedding_dimension)
        assert np.array_equal(found["embedding"].to_numpy(), expected)
    lazy = frame.lazy().select(embed("text", model, role="query", truncate_dim=5)).collect()["text"]
    assert np.array_equal(lazy.to_numpy(), model.encode_query(TEXTS, truncate_dim=5))


def test_nulls_and_nothing_in_polars(model) -> None:
    given = [None, "a", None, "b", None]
    found = pl.DataFrame({"text": given}).select(embed("text", FOLDER))["text"]
    assert found.is_null().to_list() == [True, False, True, False, True]
    assert np.array_equal(np.array(found.drop_nulls().to_list(), np.float32), model.encode(["a", "b"]))
    for empty in ([], [None, None]):
        found = pl.DataFrame({"text": empty}, schema={"text": pl.String}).select(embed("text", FOLDER))["text"]
        assert found.to_list() == empty
        assert found.dtype == pl.Array(pl.Float32, model.embedding_dimension)


def test_groups_in_polars(model) -> None:
    frame = pl.DataFrame({"group": [1, 2, 1], "text": ["a", "b", "c"]})
    found = frame.with_columns(embedding=embed("text", FOLDER).over("group"))
    assert np.array_equal(found["embedding"].to_numpy(), model.encode(["a", "b", "c"]))


def test_duckdb(model) -> None:
    connection = duckdb.connect()
    register(connection, FOLDER, role="document")
    register(connection, model, "embed_query", role="query", truncate_dim=5)
    connection.execute("CREATE TABLE texts (id INT, text VARCHAR)")
    connection.executemany("INSERT INTO texts VALUES (?, ?)", list(enumerate(TEXTS)))
    found = connection.execute("SELECT embed(text), embed_query(text) FROM texts ORDER BY id").fetchall()
    assert np.array_equal(np.array([row[0] for row in found], np.float32), model.encode_document(TEXTS))
    assert np.array_equal(np.array([row[1] for row in found], np.float32), model.encode_query(TEXTS, truncate_dim=5))
    kind = connection.execute("SELECT typeof(embed('a'))").fetchone()
    assert kind == (f"FLOAT[{model.embedding_dimension}]",)
    assert connection.execute("SELECT embed(NULL), embed(text) IS NULL FROM texts").fetchone() == (None, False)


def test_nulls_and_many_rows_in_duckdb(model) -> None:
    connection = duckdb.connect()
    register(connection, FOLDER, role="document")
    frame = pl.DataFrame({"id": range(10_000), "text": [text if i % 3 else None for i, text in enumerate(MANY)]})
    connection.register("texts", frame.to_arrow())
    found = connection.execute("SELECT embed(text) AS e FROM texts ORDER BY id").fetchall()
    assert [row[0] is None for row in found] == [i % 3 == 0 for i in range(10_000)]
    rows = np.array([row[0] for row in found if row[0] is not None], np.float32)
    assert np.array_equal(rows, model.encode_document([text for i, text in enumerate(MANY) if i % 3]))
