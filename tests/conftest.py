"""A real PostgreSQL for every test: one server a worker, one database a test, cloned from a template."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

import vsdb
from tests import clips
from tests.servers import Server, running, versions
from vsdb.database import Connection, schema
from vsdb.database.text_tower import install_tokenizer
from vsdb.media import video  # noqa: F401  (video keeps OpenCV quiet if it is the first to import it)
from vsdb.types import Sampling

if TYPE_CHECKING:
    from vsdb.model.load import StateDict

STREET_RECORDED_AT = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
SHARED_CLIPS = Path(__file__).parents[2] / "shared" / "videos"
_numbers = count()


@dataclass(frozen=True)
class StreetCopy:
    """A video that may be changed, and the database that knows it."""

    path: Path
    dsn: str


def pytest_report_header() -> str:
    """The server, since answers and plans are its."""
    return f"server: {versions()}"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The worker's server: an embedded one of its own, or the one of ``VSDB_TEST_DSN``."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def session_database(server: Server) -> Iterator[Callable[..., str]]:
    """Makes a database for the whole session, empty or from a template, and gives its name."""
    names: list[str] = []

    def create(name: str, *, template: str | None = None) -> str:
        names.append(f"{name}_{os.getpid()}")  # workers may share a server
        server.create_database(names[-1], template=template)
        return names[-1]

    yield create
    server.drop_databases(*names)


@pytest.fixture(scope="session")
def template(server: Server, session_database: Callable[..., str]) -> str:
    """Name of a database with the whole schema, no video, and the tokenizer, whose making takes seconds."""
    name = session_database("vsdb_template")
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        schema.migrate(connection)
        install_tokenizer(connection)
    return name


@pytest.fixture
def new_database(server: Server) -> Iterator[Callable[[str], str]]:
    """Makes a database from a template (``template0`` is empty) and gives its DSN; dropped after the test."""
    names: list[str] = []

    def create(from_template: str) -> str:
        names.append(f"test_{os.getpid()}_{next(_numbers)}")
        return server.create_database(names[-1], template=from_template)

    yield create
    server.drop_databases(*names)


@pytest.fixture
def dsn(new_database: Callable[[str], str], template: str) -> str:
    """DSN of a fresh database with the whole schema."""
    return new_database(template)


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """A connection to the fresh database; every statement commits by itself."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def index(dsn: str) -> Iterator[vsdb.Index]:
    """The Python interface on the fresh database, with tiny; no thread of vsdb's outlives it."""
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as index:
        yield index
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("vsdb-")]


@pytest.fixture
def run_vsdb(dsn: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command in a process of its own, on the fresh database."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vsdb", *arguments],
            env={**clean_environment(), "VSDB_DSN": dsn, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short piece of the demo's street: the red car and the dog, 10 s."""
    from vsdb.demo import CLIP

    path = tmp_path_factory.mktemp("street") / "street.mp4"
    clips.cut(CLIP, path, seconds=9.5)
    return path


@pytest.fixture(scope="session")
def street_index(server: Server, template: str, session_database: Callable[..., str]) -> Iterator[vsdb.Index]:
    """The whole demo clip, ingested once a worker; tests only read it."""
    from vsdb.demo import CLIP

    name = session_database("whole_street", template=template)
    with vsdb.connect(dsn=server.dsn(name), model="tiny", device="cpu") as index:
        (result,) = index.ingest([CLIP], sampling=Sampling(recorded_at=STREET_RECORDED_AT))
        assert result.status == "ingested"
        yield index


@pytest.fixture(scope="session")
def street_dsn(server: Server, street_index: vsdb.Index) -> str:
    """DSN of the database that holds the whole demo clip."""
    return server.dsn(street_index.connection.info.dbname)


@pytest.fixture(scope="session")
def street_template(server: Server, template: str, session_database: Callable[..., str], street: Path) -> str:
    """Name of a database that holds the short street, to be cloned."""
    name = session_database("short_street", template=template)
    with vsdb.connect(dsn=server.dsn(name), model="tiny", device="cpu") as index:
        index.ingest([street])
    return name


@pytest.fixture
def street_copy(new_database: Callable[[str], str], street_template: str, street: Path, tmp_path: Path) -> StreetCopy:
    """The short street under a path of its own, to be moved and changed, in a database of its own."""
    path = Path(shutil.copy(street, tmp_path / "my street.mp4"))
    dsn = new_database(street_template)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update vsdb.videos set video_path = %s", [str(path)])
    return StreetCopy(path=path, dsn=dsn)


@pytest.fixture(scope="session")
def openai_weights() -> StateDict:
    """Random weights of RN50x4 as OpenAI's file names them; tests only read them."""
    from tests import reference

    return reference.random_openai_state_dict()


@pytest.fixture(scope="session")
def openai_archive(openai_weights: StateDict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same as a TorchScript archive, 350 MB."""
    from tests import reference

    path = tmp_path_factory.mktemp("weights") / "RN50x4.pt"
    reference.save_as_openai_archive(openai_weights, path)
    yield path
    path.unlink()


@pytest.fixture
def shared_clips() -> Path:
    """The folder of real clips; tests that need them are skipped where it is absent, and say so."""
    if not SHARED_CLIPS.is_dir():
        pytest.skip("the folder of real clips (../shared/videos) is not there")
    return SHARED_CLIPS


def clean_environment() -> dict[str, str]:
    """The environment without the caller's own vsdb settings, and without any model hub."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("VSDB_")}
    return {**kept, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
