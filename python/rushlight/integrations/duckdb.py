"""Functions for DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import Model
from rushlight.integrations._handle import Handle
from rushlight.integrations._requires import requires

with requires("duckdb"):
    import duckdb  # noqa: TC002 -- its absence must be told
    import pyarrow as pa

from rushlight.integrations.arrow import array

if TYPE_CHECKING:
    import os

    from rushlight._loaded import Role


def register(
    connection: duckdb.DuckDBPyConnection,
    model: str | os.PathLike[str] | Model,
    name: str = "embed",
    *,
    role: Role | None = None,
    **options: Any,
) -> None:
    """Add a function of SQL that embeds a column of texts: `FLOAT[d]`; NULL gives NULL.

    DuckDB hands over up to 2,048 rows at a time, as Arrow arrays.

    Parameters
    ----------
    connection
        Connection of DuckDB.
    model
        Name or folder of a model, which is loaded once a process, or a `rushlight.Model`.
    name
        Name of the function.
    role
        "query" or "document": embed in this role; None embeds in neither.
    **options
        Arguments of `rushlight.Model`, and `normalize_embeddings`, `truncate_dim` and `truncation` of `encode`.

    Examples
    --------
    >>> import duckdb  # doctest: +SKIP
    >>> from rushlight.integrations.duckdb import register  # doctest: +SKIP
    >>> register(duckdb.default_connection(), "all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> duckdb.sql("SELECT embed('a lamp')")  # doctest: +SKIP
    """
    handle = Handle(Model, model, options)

    def embed(texts: Any) -> Any:
        column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        return array(handle.encode(column, role))

    connection.create_function(name, embed, ["VARCHAR"], f"FLOAT[{handle.dimension}]", type="arrow")
