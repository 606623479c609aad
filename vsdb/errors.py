"""Everything that vsdb raises on purpose; the message says what, got, expected and what to do next."""

from __future__ import annotations


class VsdbError(Exception):
    """Base of all errors that a person can act on; its text is shown as it is."""


class UsageError(VsdbError):
    """The command or call was wrong: options that contradict each other, a pattern that matches nothing."""


class VideoError(VsdbError):
    """One video cannot be ingested; the others go on."""


class ModelError(VsdbError):
    """A model is unknown, its weights are missing, or the weights do not fit the architecture."""


class DatabaseError(VsdbError):
    """The database cannot be reached, is too old, or holds something else than asked for."""


class OutputError(VsdbError):
    """A picture or clip cannot be written, or no player can be started."""
