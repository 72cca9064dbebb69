"""The transformer of a `CrossEncoder`, as far as it can be looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rushlight.compat._refusals import NO_MODULE
from rushlight.compat._refused import AbsentMemberError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class _Described:
    """Object with the values of a transformer's `config.json`; `name_or_path` is its folder."""

    def __init__(self, name_or_path: str, settings: Mapping[str, Any]) -> None:
        self.name_or_path = name_or_path
        self._settings = settings


class Config(_Described):
    """Settings of the transformer."""

    @property
    def num_labels(self) -> int:
        """Number of labels; 2 if `config.json` names none, as in transformers."""
        return len(self.id2label)

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the labels by number."""
        count = int(self._settings.get("num_labels", 2))
        named = self._settings.get("id2label") or {i: f"LABEL_{i}" for i in range(count)}
        return {int(i): name for i, name in named.items()}

    @property
    def label2id(self) -> dict[str, int]:
        """Numbers of the labels by name."""
        return {name: i for i, name in self.id2label.items()}

    def __getattr__(self, name: str) -> Any:
        """Return a setting of `config.json`."""
        settings: Mapping[str, Any] = vars(self).get("_settings", {})
        if name not in settings:
            raise AttributeError(f"config.json has no {name!r}")
        return settings[name]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings of `config.json`."""
        return dict(self._settings)


class PreTrainedModel(_Described):
    """Transformer: its name and its settings."""

    @property
    def config(self) -> Config:
        """Settings of the transformer."""
        return Config(self.name_or_path, self._settings)

    def __getattr__(self, name: str) -> Any:
        """Raise the reason why there are no weights and no computation."""
        raise AbsentMemberError(f"CrossEncoder.model.{name}: {NO_MODULE}")


def pretrained(folder: Path) -> PreTrainedModel:
    """Return the transformer of a model's folder."""
    listed = folder / "modules.json"
    inner = json.loads(listed.read_text(encoding="utf-8"))[0]["path"] if listed.exists() else ""
    settings = json.loads((folder / inner / "config.json").read_text(encoding="utf-8"))
    return PreTrainedModel(str(folder), settings)
