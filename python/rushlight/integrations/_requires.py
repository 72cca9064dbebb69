"""Error of a framework that is not installed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rushlight.exceptions import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def requires(extra: str) -> Iterator[None]:
    """Turn an `ImportError` in a `with` block into an error that names the extra of rushlight to install.

    Raises
    ------
    MissingDependencyError
        A package is not installed.
    """
    try:
        yield
    except ImportError as error:
        remedy = f"pip install 'rushlight[{extra}]'"
        raise MissingDependencyError(f"{error}; to install what rushlight.integrations needs: {remedy}") from error
