"""Models for `mteb.evaluate`.

mteb also takes the models of `rushlight.compat` after `rushlight.compat.install()`; these classes need no
sentence-transformers, and let you choose names and prompts.

Examples
--------
>>> import mteb  # doctest: +SKIP
>>> from rushlight import Model
>>> from rushlight.evaluation.mteb import MTEBEncoder
>>> encoder = MTEBEncoder(Model("all-MiniLM-L6-v2"), name="me/all-MiniLM-L6-v2")  # doctest: +SKIP
>>> mteb.evaluate(encoder, mteb.get_tasks(["STSBenchmark"]))  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
from rushlight.evaluation._embeddings import all_pairs, as_arrays, pairwise
from rushlight.exceptions import InvalidArgumentError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from rushlight import Model, Reranker

__all__ = ["MTEBEncoder", "MTEBReranker"]


class _Wrapped:
    """Model with the metadata that mteb asks for."""

    _kind = "dense"

    def __init__(self, model: Any, *, name: str | None, revision: str | None) -> None:
        self.model = model
        folder = model._engine.folder
        chosen = f"rushlight/{folder.name}" if name is None else name
        if chosen.count("/") != 1:
            raise InvalidArgumentError(f"name: must be an owner, a slash and a name, got {chosen!r}")
        found: dict[str, Any] = {"name": chosen, "revision": revision or "no_revision_available", "loader": None}
        found |= {"model_type": [self._kind], "modalities": ["text"]}
        self.mteb_model_meta = _mteb("mteb.models").ModelMeta.create_empty(overwrites=found)


class MTEBEncoder(_Wrapped):
    """Embedding model for `mteb.evaluate`.

    Parameters
    ----------
    model
        Sentence embedding model.
    name
        Owner and name in mteb's results; None is "rushlight" and the folder's name.
    revision
        Revision in mteb's results.
    prompts
        Prompts by mteb's names: a task, a type of tasks, "query", "document", or a name of these with "-query" or
        "-document". None are the model's own prompts; a task that has none is embedded as queries and documents.

    Raises
    ------
    MissingDependencyError
        mteb is not installed.
    """

    def __init__(
        self,
        model: Model,
        *,
        name: str | None = None,
        revision: str | None = None,
        prompts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(model, name=name, revision=revision)
        self.prompts = dict(model.prompts if prompts is None else prompts)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str = "test",
        hf_subset: str = "default",
        prompt_type: Any = None,
        show_progress_bar: bool | None = None,
        **kwargs: Any,
    ) -> NDArray[np.float32]:
        """Embed the texts of batches, float32 `(n, d)`, with the prompt of a task."""
        _ = hf_split, hf_subset, kwargs
        texts = _texts(inputs)
        role = None if prompt_type is None else str(getattr(prompt_type, "value", prompt_type))
        methods = {"query": self.model.encode_query, "document": self.model.encode_document}
        encode = self.model.encode if role is None else methods[role]
        name = _mteb("mteb.models.abs_encoder").get_prompt_name(self.prompts, task_metadata, prompt_type)
        prompt = None if name is None else self.prompts.get(name)
        embeddings: NDArray[np.float32] = as_arrays(encode(texts, prompt=prompt, show_progress_bar=show_progress_bar))
        return embeddings

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Score every embedding against every other: a tensor `(n, m)`."""
        name = str(self.model.similarity_fn_name)
        return _arguments.torch().from_numpy(all_pairs(name, as_arrays(embeddings1), as_arrays(embeddings2)))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Score each embedding against the one at the same position: a tensor `(n,)`."""
        name = str(self.model.similarity_fn_name)
        return _arguments.torch().from_numpy(pairwise(name, as_arrays(embeddings1), as_arrays(embeddings2)))


class MTEBReranker(_Wrapped):
    """Reranker for `mteb.evaluate`.

    Parameters
    ----------
    model
        Reranker with one label.
    name
        Owner and name in mteb's results; None is "rushlight" and the folder's name.
    revision
        Revision in mteb's results.

    Raises
    ------
    MissingDependencyError
        mteb is not installed.
    """

    _kind = "cross-encoder"

    def __init__(self, model: Reranker, *, name: str | None = None, revision: str | None = None) -> None:
        super().__init__(model, name=name, revision=revision)

    def predict(
        self,
        inputs1: Iterable[Mapping[str, Any]],
        inputs2: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any = None,
        hf_split: str = "test",
        hf_subset: str = "default",
        prompt_type: Any = None,
        show_progress_bar: bool | None = None,
        **kwargs: Any,
    ) -> NDArray[np.float32]:
        """Score the texts of batches pair by pair, float32 `(n,)`."""
        _ = task_metadata, hf_split, hf_subset, prompt_type, kwargs
        pairs = list(zip(_texts(inputs1), _texts(inputs2), strict=True))
        scores: NDArray[np.float32] = np.asarray(self.model.predict(pairs, show_progress_bar=show_progress_bar))
        return scores


def _texts(batches: Iterable[Mapping[str, Any]]) -> list[str]:
    return [text for batch in batches for text in batch["text"]]


def _mteb(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError("this needs mteb, which is not installed: pip install mteb") from error
