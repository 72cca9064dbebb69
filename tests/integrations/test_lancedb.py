"""`rushlight.integrations.lancedb`."""

from __future__ import annotations

import subprocess
import sys

import checks
import numpy as np
import pytest
from checks import FOLDER, TEXTS

lancedb = pytest.importorskip("lancedb")

from lancedb.pydantic import LanceModel, Vector

from rushlight.integrations.lancedb import RushlightEmbeddings


def test_embeddings(model) -> None:
    pa = pytest.importorskip("pyarrow")
    function = RushlightEmbeddings.create(model=FOLDER, truncate_dim=5)
    assert function.ndims() == 5
    expected = model.encode_document(TEXTS, truncate_dim=5)
    for texts in (TEXTS, pa.array(TEXTS), pa.chunked_array([TEXTS])):
        assert checks.equal(function.compute_source_embeddings(texts), expected)
    assert checks.equal(function.compute_query_embeddings("a lamp"), model.encode_query(["a lamp"], truncate_dim=5))
    with pytest.raises(ValueError, match="token"):
        RushlightEmbeddings.create(model=FOLDER, token="secret")


def test_a_table_is_opened_in_another_process(tmp_path, model) -> None:
    function = RushlightEmbeddings.create(model=FOLDER)

    class Row(LanceModel):
        text: str = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()

    table = lancedb.connect(str(tmp_path)).create_table("texts", schema=Row)
    table.add([{"text": "a lamp"}, {"text": "a train"}])
    rows = {row["text"]: row["vector"] for row in table.to_arrow().to_pylist()}
    assert np.array_equal(np.array(rows["a lamp"], np.float32), model.encode_document("a lamp"))
    expected = [row["text"] for row in table.search("a lamp").limit(2).to_list()]
    code = f"""
import lancedb, rushlight.integrations.lancedb
table = lancedb.connect({str(tmp_path)!r}).open_table("texts")
print([row["text"] for row in table.search("a lamp").limit(2).to_list()])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{expected}\n"
