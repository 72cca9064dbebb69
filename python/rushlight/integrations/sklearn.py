"""Transformer for scikit-learn: texts to features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import Model
from rushlight.exceptions import InvalidInputError
from rushlight.integrations._handle import Handle, without_token
from rushlight.integrations._requires import requires

with requires("sklearn"):
    from sklearn.base import BaseEstimator, TransformerMixin

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from typing_extensions import Self

    from rushlight._loaded import Role


class SentenceEncoder(TransformerMixin, BaseEstimator):
    """Transformer of texts into embeddings, with nothing to fit.

    Encoders of the same model share it in a process, so a grid search over `truncate_dim` loads it once.

    Parameters
    ----------
    model
        Name or folder of a model, or a `rushlight.Model`.
    role
        "query" or "document": embed in this role; None embeds in neither.
    prompts, default_prompt_name, max_seq_length, device, dtype, revision, cache_folder, local_files_only, token
        Arguments of `rushlight.Model`.
    normalize_embeddings, truncate_dim, truncation
        Arguments of `rushlight.Model.encode`.
    show_progress_bar
        Show a progress bar.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "all-MiniLM-L6-v2",
        *,
        role: Role | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        truncation: str = "ignore",
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        max_seq_length: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        show_progress_bar: bool = False,
    ) -> None:
        self.model = model
        self.role = role
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim
        self.truncation = truncation
        self.prompts = prompts
        self.default_prompt_name = default_prompt_name
        self.max_seq_length = max_seq_length
        self.device = device
        self.dtype = dtype
        self.revision = revision
        self.cache_folder = cache_folder
        self.local_files_only = local_files_only
        self.token = token
        self.show_progress_bar = show_progress_bar

    @property
    def _handle(self) -> Handle[Model]:
        apart = {"model", "role", "show_progress_bar"}
        options = {name: value for name, value in self.get_params(deep=False).items() if name not in apart}
        if isinstance(self.model, Model) and not self.local_files_only:
            del options["local_files_only"]  # its default changes nothing
        return Handle(Model, self.model, options)

    def fit(self, texts: Any, labels: Any = None) -> Self:
        """Check the options and load the model; there is nothing to fit."""
        _ = texts, labels
        _ = self._handle.model
        return self

    def transform(self, texts: Any) -> NDArray[np.float32]:
        """Embed texts: float32 `(n, d)`.

        Parameters
        ----------
        texts
            Iterable of texts, a column of a data frame, or a data frame with one column.
        """
        shown = {"show_progress_bar": self.show_progress_bar}
        rows: NDArray[np.float32] = self._handle.encode(_column(texts), self.role, **shown)
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns: `sentenceencoder0` and so on."""
        _ = input_features
        return np.array([f"sentenceencoder{i}" for i in range(self._handle.dimension)], dtype=object)

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without a token."""
        state: dict[str, Any] = super().__getstate__()
        return {**state, "token": without_token({"token": self.token}).get("token")}

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = False
        tags.no_validation = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _column(texts: Any) -> Any:
    """Return the only column of a table or of an array `(n, 1)`, and anything else unchanged."""
    if isinstance(texts, str):
        raise InvalidInputError("texts: must be an iterable of texts, got a str; for one text pass [text]")
    shape: tuple[int, ...] = getattr(texts, "shape", ())
    if len(shape) != 2:
        return texts
    if shape[1] != 1:
        raise InvalidInputError(f"texts: must be one column, got {type(texts).__name__} of shape {shape}")
    return texts[:, 0] if isinstance(texts, np.ndarray) else texts[texts.columns[0]]
