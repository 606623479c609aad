"""``python -m vsdb`` is the command ``vsdb``."""

from vsdb.cli import main

main()
