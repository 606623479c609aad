"""Looks at everything vsdb needs, and says what to do about what is missing."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psycopg

from vsdb import catalog, database, schema, search
from vsdb.config import DEFAULT_MODEL, Settings
from vsdb.errors import VsdbError
from vsdb.schema import Connection

MIN_FREE_BYTES = 2_000_000_000
MIN_COSINE = 0.9999
PROMPTS = ("a red car", "a laundromat sign", "people crossing a street at night in the rain")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    """What is there."""
    remedy: str | None = None
    """What to do about it; None when it is well."""


def examine(settings: Settings) -> list[Check]:
    """Look at programs, device, database and model; never raises for what it finds."""
    checks = [_programs(), _attempt("device", lambda: _device(settings)), _disk(settings)]
    try:
        connection = database.open_connection(settings)
    except VsdbError as error:
        return [*checks, Check(name="server", state="fail", found="no connection", remedy=str(error))]
    with connection:
        checks += list(_database(connection))
        checks.append(_attempt("model", lambda: _model(connection, settings)))
        if checks[-1].state == "ok" and _has_text_tower(connection):
            checks.append(_attempt("text tower", lambda: _text_tower(connection)))
    return checks


def _attempt(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (VsdbError, psycopg.Error, ImportError, OSError) as error:
        return Check(name=name, state="fail", found=type(error).__name__, remedy=str(error).strip())


def _programs() -> Check:
    names = ["vsdb", "open_clip_torch", "opencv-python-headless", "psycopg", "pgvector"]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return Check(name="programs", state="ok", found=f"Python {platform.python_version()}, {versions}")


def _device(settings: Settings) -> Check:
    import torch

    from vsdb.encoder import choose_device, fast_dtype

    device = choose_device(settings.device)
    dtype = str(fast_dtype(device)).removeprefix("torch.")
    if device.type == "cuda":
        found = f"{torch.cuda.get_device_name()} ({dtype}), torch {torch.__version__}"
        return Check(name="device", state="ok", found=found)
    found = f"{device.type} ({dtype}, {torch.get_num_threads()} threads), torch {torch.__version__}"
    if shutil.which("nvidia-smi"):
        remedy = "this machine has an NVIDIA driver, but torch cannot use it: install a CUDA build of torch"
        return Check(name="device", state="warn", found=found, remedy=remedy)
    return Check(name="device", state="ok", found=found)


def _disk(settings: Settings) -> Check:
    if settings.dsn:
        return Check(name="disk", state="ok", found="the server's own")
    folder = next(each for each in [settings.home, *settings.home.parents] if each.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free for {settings.home} (an hour of 720p takes about 0.1 GB)"
    if free < MIN_FREE_BYTES:
        return Check(name="disk", state="warn", found=found, remedy="make room, or set VSDB_HOME to another disk")
    return Check(name="disk", state="ok", found=found)


def _database(connection: Connection) -> Iterator[Check]:
    version = connection.info.parameter_status("server_version")
    kept = database.shown(connection.info.dsn)
    yield _attempt(
        "server",
        lambda: _checked(lambda: schema.check_server(connection), "server", f"PostgreSQL {version} at {kept}"),
    )
    pgvector = schema.pgvector_version(connection)
    if pgvector:
        yield Check(name="pgvector", state="ok", found=pgvector)
    else:
        yield Check(name="pgvector", state="warn", found="not in this database", remedy='run "vsdb migrate"')
    yield _attempt("schema", lambda: _checked(lambda: schema.check(connection), "schema", "up to date"))
    reader = connection.execute("select from pg_roles where rolname = 'vsdb_reader'").rowcount > 0
    yield Check(
        name="reader",
        state="ok" if reader else "warn",
        found="role vsdb_reader" if reader else "no role vsdb_reader",
        remedy=None if reader else 'ask an administrator for "create role vsdb_reader", then run "vsdb migrate"',
    )


def _checked(check: Callable[[], None], name: str, found: str) -> Check:
    check()
    return Check(name=name, state="ok", found=found)


def _model(connection: Connection, settings: Settings) -> Check:
    from vsdb.models import load_model

    stored = None
    if connection.execute("select to_regclass('vsdb.models') is not null").fetchone() == (True,):
        stored = catalog.get_model(connection)
    name = stored.model_name if stored else settings.model or DEFAULT_MODEL
    weights = Path(stored.weights_path) if stored and stored.weights_path else None
    loaded = load_model(name, weights=weights)
    if stored and loaded.info.weights_sha256 != stored.weights_sha256:
        raise catalog.other_model_error(name, name)
    whose = "the database's" if stored else "the default"
    found = f"{name} ({whose}), {loaded.info.embedding_dim} numbers, weights {loaded.info.weights_sha256.hex()[:12]}"
    return Check(name="model", state="ok", found=found)


def _has_text_tower(connection: Connection) -> bool:
    if connection.execute("select to_regclass('vsdb.text_towers') is null").fetchone() == (True,):
        return False
    return connection.execute("select from vsdb.text_towers where architecture = 'openai'").rowcount > 0


def _text_tower(connection: Connection) -> Check:
    """Compare prompts embedded by SQL with the same prompts embedded by torch."""
    encoder = search.load_encoder(connection)
    cosines = []
    for prompt in PROMPTS:
        row = connection.execute("select vsdb.embed(%s)::real[]", [prompt]).fetchone()
        assert row is not None  # a select without from has one row
        cosines.append(float(encoder.embed_prompt(prompt) @ row[0]))
    found = f"vsdb.embed against torch: cosine {min(cosines):.6f} at least, {len(PROMPTS)} prompts"
    if min(cosines) < MIN_COSINE:
        remedy = "the stored text tower is not this model's: ingest any video with --force, which stores it again"
        return Check(name="text tower", state="fail", found=found, remedy=remedy)
    return Check(name="text tower", state="ok", found=found)
