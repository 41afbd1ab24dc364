"""Ctrl-C and SIGTERM: heeded wherever the command is, and remembered until it ends."""

import signal
from types import FrameType

__all__ = ["Interruption"]


class Interruption:
    """What stops the command before its time.

    Python raises KeyboardInterrupt at the next instruction, wherever that is. Where this is inside of a library that
    makes another error of what it meets (a compiled module that is just being imported ends with an ImportError),
    only this memory tells the interruption from a fault.
    """

    def __init__(self) -> None:
        self.came = False

    def heed(self) -> None:
        """Let SIGTERM end the command the same way as Ctrl-C: transactions roll back, children end, files go."""
        signal.signal(signal.SIGTERM, self._end)
        # A program that was started in the background by a shell ignores Ctrl-C, and shall go on doing so.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._end)

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt
