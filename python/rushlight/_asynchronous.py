"""Methods of models that call the others on another thread, so that an event loop keeps running."""

from __future__ import annotations

import threading
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rushlight import Model, MultiVectorModel, Reranker, SparseModel

# Callback of the calls in this context, which computing calls now and then; an exception that it raises stops them.
poll: ContextVar[Callable[[], None] | None] = ContextVar("poll", default=None)


async def on_a_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function on another thread in this context, and await its result; cancelling the task stops it."""
    import asyncio  # slow to import

    over = threading.Event()

    def stop() -> None:
        if over.is_set():
            raise asyncio.CancelledError

    context = copy_context()
    context.run(poll.set, stop)
    call = partial(context.run, function, *args, **kwargs)
    try:
        return await asyncio.get_running_loop().run_in_executor(None, call)
    finally:
        over.set()


async def encode_async(self: Model | SparseModel, inputs: str | Iterable[str | tuple[str, str]], **options: Any) -> Any:
    """Call `encode`, whose arguments it takes, on another thread, so that the event loop keeps running.

    Cancelling the task stops the computation within about 0.1 seconds.
    """
    return await on_a_thread(self.encode, inputs, **options)


async def encode_query_async(
    self: Model | SparseModel | MultiVectorModel, inputs: str | Iterable[str | tuple[str, str]], **options: Any
) -> Any:
    """Call `encode_query` on another thread; see `encode_async`."""
    return await on_a_thread(self.encode_query, inputs, **options)


async def encode_document_async(
    self: Model | SparseModel | MultiVectorModel, inputs: str | Iterable[str | tuple[str, str]], **options: Any
) -> Any:
    """Call `encode_document` on another thread; see `encode_async`."""
    return await on_a_thread(self.encode_document, inputs, **options)


async def predict_async(self: Reranker, inputs: Iterable[tuple[str, str]] | tuple[str, str], **options: Any) -> Any:
    """Call `predict`, whose arguments it takes, on another thread, so that the event loop keeps running.

    Cancelling the task stops the computation after the micro-batches that are being computed.
    """
    return await on_a_thread(self.predict, inputs, **options)


async def rank_async(
    self: Reranker | MultiVectorModel, query: str, documents: Iterable[str], **options: Any
) -> list[dict[str, Any]]:
    """Call `rank`, whose arguments it takes, on another thread, so that the event loop keeps running."""
    ranked: list[dict[str, Any]] = await on_a_thread(self.rank, query, documents, **options)
    return ranked
