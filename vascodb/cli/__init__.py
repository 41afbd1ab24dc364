"""The command line: one thin module per group of verbs; each parses, calls and prints."""

import sys

from vascodb.cli.interruption import Interruption

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    interruption = Interruption()
    interruption.heed()
    # Loading the verbs takes a second or two; Ctrl-C ends the command without a traceback then, too.
    try:
        from vascodb.cli.main import main as run  # noqa: PLC0415
    except (KeyboardInterrupt, ImportError):
        if not interruption.came:
            raise
        sys.exit(_INTERRUPTED)
    run(interruption)
