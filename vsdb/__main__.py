"""``python -m vsdb`` is the command ``vsdb``."""

from vsdb.cli.app import main

main()
