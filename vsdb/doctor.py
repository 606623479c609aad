"""Looks at everything vsdb needs, and says what to do about what is missing."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psycopg

from vsdb.config import DEFAULT_MODEL, Settings
from vsdb.database import Connection, catalog, connect, schema
from vsdb.errors import VsdbError

if TYPE_CHECKING:
    from vsdb.model.load import LoadedModel

MIN_FREE_BYTES = 2_000_000_000
MIN_COSINE = 0.9999
ADVISED_PGVECTOR = (0, 8, 4)
FUNCTIONS = ("vsdb.search", "vsdb.search_embedding", "vsdb.embed")
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
        connection = connect.open_connection(settings)
    except VsdbError as error:
        return [*checks, Check(name="server", state="fail", found="no connection", remedy=str(error))]
    with connection:
        checks += list(_database(connection))
        checks += _models(connection, settings)
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

    from vsdb.model.encoder import choose_device, fast_dtype

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
    yield _attempt("server", lambda: _server(connection))
    yield _attempt("pgvector", lambda: _pgvector(connection))
    tables = _attempt("schema", lambda: _schema(connection))
    yield tables
    if tables.state == "ok":
        yield _attempt("search", lambda: _search(connection))
    reader = connection.execute("select from pg_roles where rolname = 'vsdb_reader'").rowcount > 0
    yield Check(
        name="reader",
        state="ok" if reader else "warn",
        found="role vsdb_reader" if reader else "no role vsdb_reader",
        remedy=None if reader else 'ask an administrator for "create role vsdb_reader", then run "vsdb migrate"',
    )


def _server(connection: Connection) -> Check:
    schema.check_server(connection)
    version = connection.info.parameter_status("server_version")
    return Check(name="server", state="ok", found=f"PostgreSQL {version} at {connect.shown(connection.info.dsn)}")


def _pgvector(connection: Connection) -> Check:
    """Look whether it is there, and whether everybody may put operators beside its own."""
    row = connection.execute(
        """select e.extversion, quote_ident(n.nspname), has_schema_privilege('public', n.oid, 'create')
           from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'"""
    ).fetchone()
    if row is None:
        return Check(name="pgvector", state="warn", found="not in this database", remedy='run "vsdb migrate"')
    version, home, is_open = row
    if is_open:
        found = f"{version} in schema {home}, where every role may create operators"
        remedy = f'they would run inside vsdb\'s functions: "revoke create on schema {home} from public"'
        return Check(name="pgvector", state="warn", found=found, remedy=remedy)
    if tuple(map(int, re.findall(r"\d+", version))) < ADVISED_PGVECTOR:
        remedy = 'up to 0.8.4 index builds and vacuums were mended: upgrade it, then "alter extension vector update"'
        return Check(name="pgvector", state="warn", found=version, remedy=remedy)
    return Check(name="pgvector", state="ok", found=version)


def _schema(connection: Connection) -> Check:
    """Look whether the schema is this program's, and whether a restored dump has left functions out."""
    schema.check(connection)
    missing = connection.execute(
        "select name from unnest(%s::text[]) name where to_regproc(name) is null", [list(FUNCTIONS)]
    ).fetchall()
    if missing:
        found = "without " + ", ".join(name for (name,) in missing)
        return Check(name="schema", state="fail", found=found, remedy='run "vsdb migrate"')
    return Check(name="schema", state="ok", found="up to date")


def _search(connection: Connection) -> Check:
    """Tell what a search without filters compares, and by how many processes."""
    row = connection.execute(
        """select c.scan, c.num_patches, least(current_setting('max_parallel_workers_per_gather')::integer,
                                               current_setting('max_parallel_workers')::integer)
           from vsdb.choose_scan(null, row(null, null, null, null, null)::vsdb.filters, false) c"""
    ).fetchone()
    assert row is not None  # the function gives one row
    scan, num_patches, workers = row
    if scan == "patches":
        return Check(name="search", state="ok", found=f"compares every patch ({num_patches:,.0f})")
    found = f"compares every patch run of {num_patches:,.0f} patches, with up to {workers} parallel workers"
    if workers == 0:
        remedy = 'let it use the other cores: "alter system set max_parallel_workers_per_gather = 2", then reload'
        return Check(name="search", state="warn", found=found, remedy=remedy)
    return Check(name="search", state="ok", found=found)


def _models(connection: Connection, settings: Settings) -> Iterator[Check]:
    """Check what of models is on this machine; nothing is fetched."""
    from vsdb.model.fetch import without_hub

    loaded: list[LoadedModel] = []
    with without_hub():
        yield _attempt("model", lambda: _model(connection, settings, loaded.append))
        if loaded and _has_text_tower(connection):
            yield _attempt("text tower", lambda: _text_tower(connection, loaded[0]))


def _model(connection: Connection, settings: Settings, on_load: Callable[[LoadedModel], None]) -> Check:
    from vsdb.model.load import load_model

    stored = None
    if connection.execute("select to_regclass('vsdb.models') is not null").fetchone() == (True,):
        stored = catalog.get_model(connection)
    name = stored.model_name if stored else settings.model or DEFAULT_MODEL
    weights = Path(stored.weights_path) if stored and stored.weights_path else None
    loaded = load_model(name, weights=weights)
    if stored and loaded.info.weights_sha256 != stored.weights_sha256:
        raise catalog.other_model_error(name, name)
    on_load(loaded)
    whose = "the database's" if stored else "the default"
    found = f"{name} ({whose}), {loaded.info.embedding_dim} numbers, weights {loaded.info.weights_sha256.hex()[:12]}"
    return Check(name="model", state="ok", found=found)


def _has_text_tower(connection: Connection) -> bool:
    if connection.execute("select to_regclass('vsdb.text_towers') is null").fetchone() == (True,):
        return False
    return connection.execute("select from vsdb.text_towers where architecture = 'openai'").rowcount > 0


def _text_tower(connection: Connection, loaded: LoadedModel) -> Check:
    """Compare prompts embedded by SQL with the same prompts embedded by torch."""
    from vsdb.model.encoder import Encoder

    encoder = Encoder(loaded, device="cpu")
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
