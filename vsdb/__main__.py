"""The command ``vsdb``, also as ``python -m vsdb``: what has to be right before anything else is imported."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line; until it is there Ctrl-C ends the process without a word, and a failed import is said."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from vsdb.cli import app
    except (ImportError, MemoryError, OSError) as error:
        reason = str(error).strip() or "no memory"
        sys.exit(f"error: vsdb cannot be loaded: {reason}; is there memory, and is the installation whole?")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app.main()


if __name__ == "__main__":
    main()
