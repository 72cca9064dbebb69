"""Models with a Router: queries go another way than documents."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import tiny

from rushlight import Model
from rushlight.exceptions import UnsupportedModelError

CASES = {"query": "bert-mean-normalize", "document": "mpnet-cls-dot"}
CLASSES = "sentence_transformers.models."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for route, case in CASES.items():
        shutil.copytree(tiny(case).model, tmp_path / f"{route}_0_Transformer")
        shutil.copytree(tiny(case).model / "1_Pooling", tmp_path / f"{route}_1_Pooling")
    names = {route: [f"{route}_0_Transformer", f"{route}_1_Pooling"] for route in CASES}
    types = {name: CLASSES + name.split("_")[-1] for route in names.values() for name in route}
    (tmp_path / "router_config.json").write_text(json.dumps({"types": types, "structure": names}))
    modules = [{"path": "", "type": CLASSES + "Router"}, {"path": "1_Normalize", "type": CLASSES + "Normalize"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    return tmp_path


def test_queries_and_documents_go_their_own_ways(folder: Path) -> None:
    model = Model(folder, prompts={"query": "ask: "})
    queries, documents = (Model(tiny(case).model) for case in CASES.values())
    texts = ["one text", "another"]
    asked = queries.encode([f"ask: {text}" for text in texts], normalize_embeddings=True)
    np.testing.assert_allclose(model.encode_query(texts), asked, atol=1e-6)
    written = documents.encode(texts, normalize_embeddings=True)
    assert np.array_equal(model.encode_document(texts), written)
    assert np.array_equal(model.encode(texts), written)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.encode_query(texts), model.encode_query(texts))


def test_saving_it_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="Router"):
        Model(folder).save(tmp_path / "saved")
