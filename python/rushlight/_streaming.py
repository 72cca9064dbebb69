"""Embedding without end and without waiting: chunks of a stream, and asyncio."""

from __future__ import annotations

import threading
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from rushlight import _arguments, _core
from rushlight._comparing import Comparing
from rushlight._loaded import check_truncation, warn_of_truncation
from rushlight._pool import Pool, devices_of
from rushlight.exceptions import InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

# Asked now and then by the calls of this context; what it raises stops them.
poll: ContextVar[Callable[[], None] | None] = ContextVar("poll", default=None)


class Streaming(Comparing):
    """What a model of sentence embeddings does beside `encode`."""

    if TYPE_CHECKING:
        encode: Callable[..., Any]
        encode_query: Callable[..., Any]
        encode_document: Callable[..., Any]

    def encode_iter(
        self,
        inputs: Iterable[str | tuple[str, str]],
        *,
        chunk_size: int = 1000,
        prompt_name: str | None = None,
        prompt: str | None = None,
        precision: Literal["float32", "binary", "ubinary"] = "float32",
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        truncation: Literal["ignore", "warn", "error"] = "ignore",
        device: str | None = None,
    ) -> Iterator[NDArray[Any]]:
        """Embed texts as they come from an iterable, which may have no end.

        While a chunk is computed the next one is tokenized, so each array comes when the texts of the chunk after it
        are there, or the texts are over. At most two chunks of texts and one of embeddings are held at a time.

        Parameters
        ----------
        inputs
            An iterable of texts and pairs, as of `encode`; a generator, a file, …
        chunk_size
            Rows of an array: at least 1. The last may have fewer.
        precision
            "float32", "binary" or "ubinary". Those that need all texts for their ranges are not for streams.
        prompt_name, prompt, normalize_embeddings, truncate_dim, truncation, device
            As of `encode`; "warn" warns once, at the end.

        Yields
        ------
        numpy.ndarray
            `(chunk_size, d)`, in the order of the texts; on a processor bits are those of `encode`. No texts
            give no arrays.

        Raises
        ------
        InvalidInputError
            Where an input is not text, after the chunks before it: its type and its index in the stream are named.
        InvalidArgumentError
            Where an argument is out of range or unknown: at once. Where a text is too long and `truncation="error"`.

        Examples
        --------
        >>> from rushlight import Model
        >>> model = Model("all-MiniLM-L6-v2")
        >>> lines = (f"line {i}" for i in range(2500))
        >>> [len(embeddings) for embeddings in model.encode_iter(lines)]
        [1000, 1000, 500]
        """
        chunk_size = _arguments.positive("chunk_size", chunk_size)
        _arguments.one_of("precision", precision, ("float32", "binary", "ubinary"))
        check_truncation(truncation)
        self._check_device(device)
        if isinstance(inputs, str):
            raise InvalidInputError("inputs: must be an iterable of str, got str")
        texts = _arguments.batch("inputs", inputs)
        columns = self._truncate_dim if truncate_dim is None else _arguments.positive("truncate_dim", truncate_dim)
        request = self._request(self._prompt(prompt, prompt_name), normalize_embeddings, columns, truncation)
        stream = self._engine.stream(request)

        def embed() -> Iterator[NDArray[Any]]:
            cut = longest = total = 0
            for embeddings, count, most in _chunks(stream, texts, chunk_size):
                cut, longest, total = cut + count, max(longest, most), total + len(embeddings)
                yield embeddings if precision == "float32" else _core.quantize(embeddings, precision)
            if truncation == "warn":
                warn_of_truncation(cut, total, longest, self._engine.max_seq_length)

        return embed()

    async def encode_async(self, inputs: str | Iterable[str | tuple[str, str]], **options: Any) -> Any:
        """Embed texts as `encode`, whose arguments it takes, on another thread: the event loop goes on.

        Cancelling it stops the computation, within a tenth of a second or so.
        """
        return await _on_a_thread(partial(self.encode, inputs, **options))

    async def encode_query_async(self, inputs: str | Iterable[str | tuple[str, str]], **options: Any) -> Any:
        """Embed queries as `encode_query`, whose arguments it takes, on another thread; see `encode_async`."""
        return await _on_a_thread(partial(self.encode_query, inputs, **options))

    async def encode_document_async(self, inputs: str | Iterable[str | tuple[str, str]], **options: Any) -> Any:
        """Embed documents as `encode_document`, whose arguments it takes, on another thread; see `encode_async`."""
        return await _on_a_thread(partial(self.encode_document, inputs, **options))

    # Pools

    def start_multi_process_pool(self, target_devices: Iterable[str] | None = None) -> Pool:
        """Return a pool with a worker on each of the devices, for `encode(..., pool=...)`.

        Workers are threads that take chunks of texts from one queue; those on a CPU share its limit of threads, of
        which a single call uses all anyway. Order and errors are those of a call without a pool, and on processors the
        bits are.

        Parameters
        ----------
        target_devices
            Devices, which may come several times; None is the model's own. On another than that, the model is loaded
            again, and stays there for as long as it lives.

        Raises
        ------
        DeviceError
            Where this build or this machine lacks one.
        """
        pool = Pool([self._engine.device] if target_devices is None else target_devices)
        self._engine.load_on(pool.devices())
        return pool

    def stop_multi_process_pool(self, pool: Pool) -> None:
        """End a pool: the same as its `close`."""
        pool.close()

    def encode_multi_process(
        self, inputs: Iterable[str | tuple[str, str]], pool: Pool, *, chunk_size: int | None = None, **options: Any
    ) -> Any:
        """Embed texts by the workers of a pool: `encode`, whose arguments it takes; the older name."""
        return self.encode(inputs, pool=pool, chunk_size=chunk_size, **options)

    def _workers(
        self, device: str | Iterable[str] | None, pool: Pool | None, chunk_size: int | None
    ) -> tuple[list[str], int | None] | None:
        """Return a device for each of several workers, and their chunks' size; None where a call is the model's own."""
        if chunk_size is not None:
            chunk_size = _arguments.positive("chunk_size", chunk_size)
        if pool is None and (
            device is None or (isinstance(device, str) and _core.device_name(device) == self._engine.device)
        ):
            return None
        if pool is None:
            devices = devices_of("device", [device] if isinstance(device, str) else device or ())
        elif isinstance(pool, Pool):
            devices = pool.devices()
        else:
            raise InvalidArgumentError(f"pool: must come from start_multi_process_pool, got {type(pool).__name__}")
        return devices, chunk_size

    def _embed(
        self,
        texts: list[str | tuple[str, str]],
        request: _core._Request,
        precision: str,
        workers: tuple[list[str], int | None] | None,
        out: NDArray[Any] | None,
    ) -> tuple[NDArray[Any], int, int]:
        """Return embeddings in a precision, how many texts were cut, and the longest one's tokens."""
        if out is not None and workers is None:
            return out, *self._encode_into(out, texts, request, precision)
        if workers is None:
            embeddings, cut, longest = self._engine.encode(texts, request)
        else:
            embeddings, cut, longest = self._engine.encode_sharded(texts, request, *workers)
        result: NDArray[Any] = embeddings if precision == "float32" else _core.quantize(embeddings, precision)
        if out is not None:
            out[...] = result
        return result, cut, longest

    def _rows(self, out: Any, count: int | None, columns: int | None, precision: str) -> NDArray[Any]:
        """Return the caller's array as rows for `count` embeddings, None being a single one, if it has their shape."""
        width = self._engine.embedding_dimension
        width = width if columns is None else min(width, columns)
        row = (width if precision == "float32" else -(-width // 8),)
        dtype = {"float32": "float32", "binary": "int8", "ubinary": "uint8"}[precision]
        array = _arguments.into(out, row if count is None else (count, *row), dtype)
        return array[None] if count is None else array

    def _encode_into(
        self,
        out: NDArray[Any],
        texts: list[str | tuple[str, str]],
        request: _core._Request,
        precision: str,
    ) -> tuple[int, int]:
        """Embed texts into the rows of an array; return how many were cut, and the longest one's tokens."""
        at = cut = longest = 0
        for embeddings, count, most in _chunks(self._engine.stream(request), texts, 1000):
            rows = embeddings if precision == "float32" else _core.quantize(embeddings, precision)
            out[at : at + len(rows)] = rows
            at, cut, longest = at + len(rows), cut + count, max(longest, most)
            if request["progress"] is not None:
                request["progress"](at, len(texts))
        return cut, longest

    def _request(
        self,
        prompt: str,
        normalize_embeddings: bool,
        truncate_dim: int | None,
        truncation: str,
        progress: Callable[[int, int], object] | None = None,
    ) -> _core._Request:
        return {
            "prompt": prompt,
            "normalize_embeddings": bool(normalize_embeddings),
            "truncate_dim": truncate_dim,
            "fail_on_truncation": truncation == "error",
            "progress": progress,
            "poll": poll.get(),
        }


def _chunks(
    stream: _core.Stream, texts: Iterable[str | tuple[str, str]], chunk_size: int
) -> Iterator[tuple[NDArray[Any], int, int]]:
    """Yield the embeddings of each chunk, how many of its texts were cut, and the longest one's tokens."""
    iterator, first, error = iter(texts), 0, None
    more = True
    while more:
        try:
            chunk = list(islice(iterator, chunk_size))
            embedded = stream.step(chunk, first)
        except Exception as raised:  # noqa: BLE001 -- of the texts' own iterator, it may be any
            # The chunk before it is good, and comes first.
            chunk, error = [], raised
            embedded = stream.step(chunk, first)
        first += len(chunk)
        more = bool(chunk)
        if len(embedded[0]):
            yield embedded
    if error is not None:
        raise error


async def _on_a_thread(work: Callable[[], Any]) -> Any:
    """Await `work`, done on another thread in this context; it is stopped where the task is cancelled."""
    import asyncio  # which is no light import

    over = threading.Event()

    def stop() -> None:
        if over.is_set():
            raise asyncio.CancelledError

    context = copy_context()
    context.run(poll.set, stop)
    try:
        return await asyncio.get_running_loop().run_in_executor(None, partial(context.run, work))
    finally:
        over.set()
