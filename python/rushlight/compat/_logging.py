"""Logging beside progress bars."""

from __future__ import annotations

import logging


class LoggingHandler(logging.Handler):
    """A handler that writes between the lines of progress bars, not into them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to where progress bars go."""
        from tqdm.auto import tqdm

        try:
            tqdm.write(self.format(record))
        except Exception:  # noqa: BLE001 -- logging must not stop a program
            self.handleError(record)
