"""Where settings come from: flag, then environment, then default."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_MODEL = "RN50x4"
TINY = "tiny"  # bundled
DEFAULT_DEVICE = "auto"
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a command or :func:`vsdb.connect` works with."""

    dsn: str | None
    """PostgreSQL connection string; None is the embedded database."""
    home: Path
    """Folder of the embedded database."""
    model: str | None
    """Model asked for; None takes the database's own, or RN50x4 for a new database."""
    device: str
    """``auto``, ``cpu``, ``cuda`` or ``mps``."""


def resolve(*, dsn: str | None = None, model: str | None = None, device: str | None = None) -> Settings:
    """Merge what was asked for with ``VSDB_DSN``, ``VSDB_HOME``, ``VSDB_MODEL`` and ``VSDB_DEVICE``."""
    environment = os.environ
    return Settings(
        dsn=dsn or environment.get("VSDB_DSN") or None,
        home=home(),
        model=model or environment.get("VSDB_MODEL") or None,
        device=device or environment.get("VSDB_DEVICE") or DEFAULT_DEVICE,
    )


def home() -> Path:
    """Folder of the embedded database: ``VSDB_HOME``, else the platform's user data folder."""
    from_environment = os.environ.get("VSDB_HOME")
    if from_environment:
        return Path(from_environment).expanduser().absolute()
    import platformdirs  # a tenth of the start of a command: only where it is needed

    return platformdirs.user_data_path("vsdb")
