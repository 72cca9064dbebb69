"""Embeddings in fewer bits: a part of `rushlight.compat.util`, where sentence-transformers has it."""

from typing import TYPE_CHECKING

from rushlight.compat._refused import refusing
from rushlight.compat.quantization import quantize_embeddings

__all__ = ["quantize_embeddings"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
