"""`Model.encode`: its checks, its computation and its result; and the methods that call it in a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rushlight import _arguments, _core, _images, _pool
from rushlight._loaded import check_truncation, progress, warn_of_truncation
from rushlight._quantized import PRECISIONS, quantized
from rushlight._streaming import chunks
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rushlight._columns import Texts
    from rushlight._loaded import Role
    from rushlight._model import Model
    from rushlight._pool import Pool

    # Devices of several workers, and the texts that one takes at a time.
    Workers = tuple[list[str], int | None]

# Precisions whose ranges need all embeddings.
_RANGED = ("int8", "uint8")


class Output(NamedTuple):
    """Form of a call's result: arguments of `Model.encode`."""

    output_value: str | None
    precision: str
    convert_to_numpy: bool
    convert_to_tensor: bool
    out: Any

    @property
    def tensors(self) -> bool:
        """True if the result consists of torch tensors."""
        return self.convert_to_tensor or not self.convert_to_numpy

    def check(self, workers: Workers | None) -> None:
        """Check that the arguments agree."""
        value, precision = self.output_value, self.precision
        _arguments.one_of("output_value", value, ("sentence_embedding", "token_embeddings", None))
        _arguments.one_of("precision", precision, PRECISIONS)
        if value != "sentence_embedding":
            if precision != "float32":
                raise InvalidArgumentError(f"precision: {precision!r} is for sentence embeddings, not {value!r}")
            if workers is not None:
                raise InvalidArgumentError(f"output_value: {value!r} is not for several workers")
        if self.out is not None and (value != "sentence_embedding" or precision in _RANGED or self.tensors):
            raise InvalidArgumentError("out: takes sentence embeddings in float32, binary or ubinary, no tensors")

    def rows(self, engine: _core.Model, count: int | None, columns: int | None) -> NDArray[Any] | None:
        """Return the array `out` as rows for `count` embeddings (None for a single one), if its shape is right."""
        if self.out is None:
            return None
        width = engine.embedding_dimension
        width = width if columns is None else min(width, columns)
        row = (width if self.precision == "float32" else -(-width // 8),)
        dtype = {"float32": "float32", "binary": "int8", "ubinary": "uint8"}[self.precision]
        array = _arguments.into(self.out, row if count is None else (count, *row), dtype)
        return array[None] if count is None else array


def encode(
    self: Model,
    inputs: str | _images.Image | Iterable[str | tuple[str, str] | _images.Image],
    *,
    prompt_name: str | None = None,
    prompt: str | None = None,
    role: Role | None = None,
    task: str | None = None,
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
    null_value: str | None = None,
) -> Any:
    """Embed texts.

    On a CPU, the embedding of a text has the same bits whatever the other texts, their order and the number of
    threads.

    Parameters
    ----------
    inputs
        Text, or iterable of texts, also a column of Arrow, Polars, pandas or numpy. A tuple of two texts inside an
        iterable is a pair, which the model reads as one. Models with "image" in `modalities` also embed images:
        `pathlib.Path`, the bytes of a file, images of PIL, uint8 arrays `(height, width, channels)`, and
        `{"image": ...}` with one of them. A str is always a text.
    prompt_name
        Name of one of `prompts`; ignored if `prompt` is given. None means the role's prompt (none if the role has
        none), or without a role the one of `default_prompt_name`.
    prompt
        Text to put before every input; "" suppresses the default prompt.
    role
        "query" or "document": use the prompt, the route and the task of `encode_query` or `encode_document`.
    task
        One of `tasks`, for models that have an adapter or modules for each. None is the role's task, else the
        folder's default, else no adapter. The first call with a task loads the weights once more.
    batch_size
        At least 1, without effect: micro-batches depend on tokens, and change neither results nor memory.
    show_progress_bar
        Show a progress bar; None shows one if the logger "rushlight" is at level INFO or below.
    output_value
        "sentence_embedding"; "token_embeddings" for an array `(tokens, hidden)` per text; or None for a dict per
        text with both, `input_ids`, `attention_mask`, and `token_type_ids` if the tokenizer has them.
    precision
        "float32"; "int8" or "uint8", with ranges of these texts; "binary" or "ubinary", with packed bits of `x >
        0`.
    convert_to_numpy
        Return an array; False returns a list of torch tensors.
    convert_to_tensor
        Return one torch tensor.
    normalize_embeddings
        Divide each embedding by its L2 norm, after truncation.
    truncate_dim
        Number of columns to keep; overrides the model's `truncate_dim`.
    truncation
        For texts longer than `max_seq_length` tokens: "ignore" truncates them, "warn" also logs one warning per
        call, "error" raises `InvalidArgumentError`.
    device
        Device, or devices with a worker each; None is the model's own.
    pool
        Workers from `start_multi_process_pool`, instead of `device`.
    chunk_size
        Number of texts that a worker takes at a time; None is a tenth of its share, at most 5,000.
    out
        Array to write the embeddings into and to return, such as a `numpy.memmap`. It must be C-contiguous,
        writable, and have the shape and dtype of the result. A failing call may leave it partly written. int8,
        uint8 and tensors are not supported.
    null_value
        Text to embed in place of nulls: None, NaN, and those of a column. Without it they are errors.

    Returns
    -------
    numpy.ndarray
        float32 `(n, d)`; int8 or uint8 `(n, d)`; packed bits, int8 or uint8 `(n, ceil(d / 8))`. A single text gives
        its row alone. The array is C-contiguous and owned by the caller.

    Raises
    ------
    InvalidInputError
        An input is not text; the message names its type and index.
    InvalidArgumentError
        An argument is out of range or unknown, or a text is too long and `truncation="error"`.
    MissingDependencyError
        Tensors need torch, which is not installed.
    """
    check_truncation(truncation)
    _arguments.positive("batch_size", batch_size)
    engine = self._engine
    workers = _pool.workers(engine.device, device, pool, chunk_size)
    output = Output(output_value, precision, convert_to_numpy, convert_to_tensor, out)
    output.check(workers)
    prompt = self._prompt(prompt, prompt_name, role, task)
    request = self._request(prompt, role, task, normalize_embeddings, truncate_dim, truncation=truncation)
    warn = truncation == "warn"
    return _result(
        engine,
        inputs,
        request,
        output,
        workers,
        show_progress_bar=show_progress_bar,
        warn=warn,
        null_value=null_value,
    )


def _result(
    engine: _core.Model,
    inputs: Any,
    request: _core._Request,
    output: Output,
    workers: Workers | None,
    *,
    show_progress_bar: bool | None,
    warn: bool,
    null_value: str | None,
) -> Any:
    """Embed inputs, and return the result in the form of `output`; `warn` logs how many texts were truncated."""
    torch = _arguments.torch() if output.tensors else None
    texts, single = _arguments.inputs(inputs, null_value=null_value, images=engine.embeds_images)
    if len(texts) == 1 and output.precision in _RANGED:
        raise InvalidArgumentError(f"precision: {output.precision!r} needs several texts, to take their ranges from")
    rows = output.rows(engine, None if single else len(texts), request["truncate_dim"])
    is_sentence = output.output_value == "sentence_embedding"
    with progress(show_progress_bar, len(texts)) as observer:
        request["progress"] = observer
        if is_sentence:
            result, truncated, longest = _sentences(
                engine, texts, request, precision=output.precision, workers=workers, out=rows
            )
        else:
            encodings, truncated, longest = _tokens(engine, texts, request)
    if warn:
        warn_of_truncation(truncated, len(texts), longest, engine.max_seq_length_of(request["role"]))
    if rows is not None:
        return output.out
    if not is_sentence:
        if torch is not None:
            encodings = [{key: torch.from_numpy(array) for key, array in row.items()} for row in encodings]
        values = encodings if output.output_value is None else [row[output.output_value] for row in encodings]
        return values[0] if single else values
    result = result[0] if single else result
    if torch is None:
        return result
    tensor = torch.from_numpy(result)
    return tensor if output.convert_to_tensor or single else list(tensor)


def _sentences(
    engine: _core.Model,
    texts: Texts,
    request: _core._Request,
    *,
    precision: str,
    workers: Workers | None,
    out: NDArray[Any] | None,
) -> tuple[NDArray[Any], int, int]:
    """Return embeddings, the number of truncated texts, and the token count of the longest one."""
    if workers is not None:
        embeddings, truncated, longest = engine.encode_sharded(texts, request, *workers)
    elif out is None and engine.embeds_images and isinstance(texts, list) and _images.are_among(texts):
        columns = engine.embedding_dimension
        shape = (len(texts), min(request["truncate_dim"] or columns, columns))
        embeddings, truncated, longest = _sentences_into(
            np.empty(shape, np.float32), engine, texts, request, "float32", chunk_size=_images.CHUNK
        )
    elif out is None:
        embeddings, truncated, longest = engine.encode(texts, request)
    else:
        return _sentences_into(out, engine, texts, request, precision)
    result = quantized(embeddings, precision)
    if out is not None:
        out[...] = result
    return result, truncated, longest


def _sentences_into(
    out: NDArray[Any],
    engine: _core.Model,
    texts: Texts,
    request: _core._Request,
    precision: str,
    *,
    chunk_size: int = 1000,
) -> tuple[NDArray[Any], int, int]:
    """Embed texts chunk by chunk into the rows of an array; the rest is as of `_sentences`."""
    done = truncated = longest = 0
    for embeddings, count, most in chunks(engine.stream(request), texts, chunk_size):
        end = done + len(embeddings)
        out[done:end] = quantized(embeddings, precision)
        done, truncated, longest = end, truncated + count, max(longest, most)
        if request["progress"] is not None:
            request["progress"](done, len(texts))
    return out, truncated, longest


def _tokens(
    engine: _core.Model, texts: Texts, request: _core._Request
) -> tuple[list[dict[str, NDArray[Any]]], int, int]:
    """Return the arrays of each text, the number of truncated texts, and the token count of the longest one."""
    encodings, lengths = engine.encode_tokens(texts, request)
    limit = engine.max_seq_length_of(request["role"])
    cut = [length for length in lengths if limit is not None and length > limit]
    return encodings, len(cut), max(cut, default=0)


def encode_query(
    self: Model, inputs: str | Iterable[str | tuple[str, str]], *, prompt_name: str | None = None, **options: Any
) -> Any:
    """Embed queries: `encode` with `role="query"`.

    The prompt is "query" unless `prompt` or `prompt_name` is given. In models with the task "retrieval.query", that is
    the task, with the prompt of its name.
    """
    return _encode_in_role(self, "query", inputs, prompt_name, options)


def encode_document(
    self: Model, inputs: str | Iterable[str | tuple[str, str]], *, prompt_name: str | None = None, **options: Any
) -> Any:
    """Embed documents: `encode` with `role="document"`.

    The prompt is the first non-empty one of "document", "passage" and "corpus", unless `prompt` or `prompt_name` is
    given. In models with the task "retrieval.passage", that is the task, with the prompt of its name.
    """
    return _encode_in_role(self, "document", inputs, prompt_name, options)


def _encode_in_role(self: Model, role: Role, inputs: Any, prompt_name: str | None, options: dict[str, Any]) -> Any:
    """Call `encode`, which subclasses may override without `role`, with the prompt of a role."""
    if "role" in options:
        raise TypeError(f"encode_{role} takes no role, it is {role!r}: pass role to encode")
    options["prompt"] = self._prompt(options.get("prompt"), prompt_name, role, options.get("task"))
    if self._engine.has_routes or self._engine.tasks:
        options["role"] = role
    return self.encode(inputs, **options)
