"""Logging beside progress bars: a part of `rushlight.compat.util`, where sentence-transformers has it."""

from typing import TYPE_CHECKING

from rushlight.compat._logging import LoggingHandler
from rushlight.compat._refused import refusing

__all__ = ["LoggingHandler"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
