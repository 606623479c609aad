"""vsdb: PostgreSQL-native semantic video search."""

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
