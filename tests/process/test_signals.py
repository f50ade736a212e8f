"""Signals that come at an awkward moment wait until it is over."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from eidos.process.signals import DeferredSignals


def test_a_deferred_signal_is_handled_at_the_end() -> None:
    done = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), DeferredSignals():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_deferred() -> None:
    before, handlers = signal.getsignal(signal.SIGINT), []

    def note_handler() -> None:
        with DeferredSignals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=note_handler)
    thread.start()
    thread.join()
    assert handlers == [before]
