"""Logging beside progress bars."""

from __future__ import annotations

import logging

__all__ = ["LoggingHandler"]


class LoggingHandler(logging.Handler):
    """Handler that writes log records between the lines of progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to stdout by `tqdm.write`, which redraws the bars."""
        from tqdm.auto import tqdm

        try:
            tqdm.write(self.format(record))
        except Exception:  # noqa: BLE001 -- logging must not stop a program
            self.handleError(record)
