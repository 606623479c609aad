"""vsdb: PostgreSQL-native semantic video search."""

from vsdb.api import Index, connect
from vsdb.errors import DatabaseError, ModelError, UsageError, VideoError, VsdbError
from vsdb.types import IngestResult, Moment, Video

__version__ = "0.1.0"
__all__ = [
    "DatabaseError",
    "Index",
    "IngestResult",
    "ModelError",
    "Moment",
    "UsageError",
    "Video",
    "VideoError",
    "VsdbError",
    "__version__",
    "connect",
]
