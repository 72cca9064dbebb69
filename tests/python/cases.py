"""The small models, and the real ones where they have been fetched."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from generator import storage
from numpy.typing import NDArray


def unpacked() -> Path:
    """Copy the data to a folder for this process, and add the files that are shared."""
    folder, owner = Path(tempfile.mkdtemp(prefix="rushlight-data-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not a fork of it
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    shutil.copytree(storage.DATA, folder, dirs_exist_ok=True)
    storage.unpack(folder)
    return folder


DATA = unpacked()
MODELS = Path(os.environ.get("RUSHLIGHT_TEST_MODELS", Path(__file__).parents[2] / ".models"))


@dataclass(frozen=True)
class Case:
    """A model with texts and what the reference gives for them."""

    name: str
    model: Path

    @property
    def folder(self) -> Path:
        return DATA / ("real" if self.model.parent == MODELS else "tiny") / self.name

    def json(self, name: str):
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    @cached_property
    def texts(self) -> list[str]:
        return self.json("texts")

    @cached_property
    def expected(self) -> NDArray[np.float64]:
        return np.load(self.folder / "expected64.npy")

    @property
    def tolerance(self) -> float:
        """1e-5 where embeddings are normalized, else 2e-5 of the largest number."""
        if np.abs(np.linalg.norm(self.expected, axis=1) - 1).max() < 1e-6:
            return 1e-5
        return 2e-5 * np.abs(self.expected).max()


def tiny(name: str) -> Case:
    return Case(name, DATA / "tiny" / name / "model")


def other(kind: str) -> list[Path]:
    """The folders of cases of another kind of model, such as "rerank"."""
    return sorted((DATA / kind).iterdir())


def router(folder: Path, cases: dict[str, str]) -> Path:
    """A folder whose queries go through one small model and whose documents go through another."""
    classes = "sentence_transformers.models."
    for route, case in cases.items():
        shutil.copytree(tiny(case).model, folder / f"{route}_0_Transformer")
        shutil.copytree(tiny(case).model / "1_Pooling", folder / f"{route}_1_Pooling")
    names = {route: [f"{route}_0_Transformer", f"{route}_1_Pooling"] for route in cases}
    types = {name: classes + name.split("_")[-1] for route in names.values() for name in route}
    config = {"types": types, "structure": names, "parameters": {"default_route": "document", "allow_empty_key": True}}
    (folder / "router_config.json").write_text(json.dumps(config))
    modules = [{"path": "", "type": classes + "Router"}, {"path": "1_Normalize", "type": classes + "Normalize"}]
    numbered = [{"idx": i, "name": str(i), **module} for i, module in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(numbered))
    return folder


TINY = sorted(path.name for path in (DATA / "tiny").iterdir())


def real(name: str) -> Case:
    case = Case(name, MODELS / name)
    if not case.model.is_dir():
        pytest.skip(f"{case.model} is not there; `make models` fetches it")
    return case
