"""vsdb: PostgreSQL-native semantic video search."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsdb.api import Index, connect
    from vsdb.errors import DatabaseError, ModelError, OutputError, UsageError, VideoError, VsdbError
    from vsdb.moments import Moments
    from vsdb.types import IngestResult, Moment, Video

__version__ = "0.1.0"
__all__ = [
    "DatabaseError",
    "Index",
    "IngestResult",
    "ModelError",
    "Moment",
    "Moments",
    "OutputError",
    "UsageError",
    "Video",
    "VideoError",
    "VsdbError",
    "__version__",
    "connect",
]
_MODULES = {
    "api": ("Index", "connect"),
    "errors": ("DatabaseError", "ModelError", "OutputError", "UsageError", "VideoError", "VsdbError"),
    "moments": ("Moments",),
    "types": ("IngestResult", "Moment", "Video"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: the command has to listen to Ctrl-C before the rest is there."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"vsdb.{module}"), name)
    raise AttributeError(f"module 'vsdb' has no attribute '{name}'")
