"""Expressions for Polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import Model
from rushlight.integrations._handle import Handle
from rushlight.integrations._requires import requires

with requires("polars"):
    import polars as pl

if TYPE_CHECKING:
    import os

    from rushlight._loaded import Role


def embed(
    texts: pl.Expr | str, model: str | os.PathLike[str] | Model, *, role: Role | None = None, **options: Any
) -> pl.Expr:
    """Return an expression for the embeddings of a column: `Array(Float32, d)`; nulls stay nulls.

    The column is handed over whole. In a streaming engine it is collected first.

    Parameters
    ----------
    texts
        Expression or name of a column of strings.
    model
        Name or folder of a model, which is loaded once a process, or a `rushlight.Model`.
    role
        "query" or "document": embed in this role; None embeds in neither.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`.

    Examples
    --------
    >>> import polars as pl  # doctest: +SKIP
    >>> from rushlight.integrations.polars import embed  # doctest: +SKIP
    >>> frame.with_columns(embedding=embed(pl.col("text"), "all-MiniLM-L6-v2"))  # doctest: +SKIP
    """
    handle = Handle(Model, model, options)
    dtype = pl.Array(pl.Float32, handle.dimension)
    column = pl.col(texts) if isinstance(texts, str) else texts
    return column.map_batches(lambda series: _rows(series, handle, role, dtype), return_dtype=dtype)


def _rows(series: pl.Series, handle: Handle[Model], role: Role | None, dtype: pl.Array) -> pl.Series:
    there = series.drop_nulls()
    rows = handle.encode(there, role)
    embedded = pl.Series(series.name, rows.reshape(-1), dtype=pl.Float32).reshape(rows.shape).cast(dtype)
    if len(there) == len(series):
        return embedded
    # Index of each text among those that are not null; null for nulls.
    index = series.is_not_null().cum_sum().cast(pl.Int64).to_numpy() - 1
    known = pl.Series(np.maximum(index, 0), dtype=pl.UInt32).set(series.is_null(), None)
    return embedded.gather(known) if len(there) else pl.Series(series.name, [None] * len(series), dtype=dtype)
