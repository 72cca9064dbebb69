"""`CrossEncoder`, where sentence-transformers has it."""

from typing import TYPE_CHECKING

from rushlight.compat._refused import refusing
from rushlight.compat.cross_encoder.model import CrossEncoder

__all__ = ["CrossEncoder"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
