"""Embeddings as tensors: a part of `rushlight.compat.util`, where sentence-transformers has it."""

from typing import TYPE_CHECKING

from rushlight.compat._refused import refusing
from rushlight.compat.util.retrieval import (
    batch_to_device,
    normalize_embeddings,
    select_max_active_dims,
    truncate_embeddings,
)

__all__ = [
    "batch_to_device",
    "normalize_embeddings",
    "select_max_active_dims",
    "truncate_embeddings",
]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
