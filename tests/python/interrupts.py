"""Ctrl-C in the midst of a call."""

from __future__ import annotations

import gc
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

import rushlight

if TYPE_CHECKING:
    from collections.abc import Callable


def check_interrupt(call: Callable[[], object]) -> None:
    """Check that a call of many seconds ends within one after Ctrl-C.

    Counted are the seconds that the threads of this process compute, since others may share its processor. They may
    also slow it down, by three times at most.
    """
    assert threading.current_thread() is threading.main_thread()
    sent = []

    def interrupt() -> None:
        sent.append(time.process_time())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(1, interrupt)
    # Collections call hypothesis back, and an interrupt that is raised there is lost.
    gc.disable()
    # A process that was started in the background ignores the signal, and its children do.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        stopped = time.process_time()
        timer.join()
    finally:
        signal.signal(signal.SIGINT, handler)
        gc.enable()
    assert stopped - sent[0] < 3 * rushlight.get_num_threads()
