"""Backend that BERTopic and KeyBERT share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight import Model
from rushlight.integrations._handle import Handle

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray


class Embedding:
    """Methods that both libraries call on an embedding model."""

    def __init__(self, model: str | os.PathLike[str] | Model, **options: Any) -> None:
        super().__init__()
        self._handle = Handle(Model, model, options)

    def embed(self, documents: Iterable[str], verbose: bool = False) -> NDArray[np.float32]:
        """Embed documents or words: float32 `(n, d)`."""
        rows: NDArray[np.float32] = self._handle.encode(list(documents), None, show_progress_bar=verbose)
        return rows

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._handle!r})"
