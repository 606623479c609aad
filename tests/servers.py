"""The PostgreSQL that tests run on: an embedded one for each worker, or the one that ``VSDB_TEST_DSN`` names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from vsdb.database.embedded import OWNER, EmbeddedServer
from vsdb.database.programs import programs_folder

UTF8 = "template template0 encoding 'UTF8' "
LOCALES = {True: "locale_provider builtin builtin_locale 'C.UTF-8'", False: "locale 'C'"}  # builtin: from 17 on


@dataclass(frozen=True)
class Server:
    """A server on which databases can be made."""

    admin_dsn: str
    """Of a database to make others from."""
    programs: Path | None = None
    """Folder of ``psql``, ``pg_dump`` and the others; None where the path has them."""

    def dsn(self, database: str) -> str:
        """DSN of one of its databases."""
        return conninfo.make_conninfo(self.admin_dsn, dbname=database)

    def admin(self) -> psycopg.Connection:
        """A connection to make and drop databases with."""
        return psycopg.connect(self.admin_dsn, autocommit=True)

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make a database, empty or as a copy of a template; gives its DSN."""
        with self.admin() as connection:
            if template is None:
                source = UTF8 + LOCALES[connection.info.server_version >= 170_000]
            else:
                source = f"template {template} strategy file_copy"  # 5 MB that need not go through the log as well
            connection.execute(f"create database {name} {source}")
        return self.dsn(name)

    def drop_databases(self, *names: str) -> None:
        """Drop databases, whoever is connected."""
        with self.admin() as connection:
            for name in names:
                connection.execute(f"drop database if exists {name} with (force)")

    def program(self, name: str) -> str:
        """Path of one of PostgreSQL's programs; the test is skipped where there is none as new as the server."""
        found = self.programs / name if self.programs else shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not on the path, and VSDB_TEST_DSN brings no programs")
        return str(found)


def is_given() -> bool:
    """Whether tests run on a server that was given."""
    return "VSDB_TEST_DSN" in os.environ


def versions() -> str:
    """PostgreSQL's and pgvector's, of the server that tests run on; an embedded one is not started for it."""
    if is_given():
        with Server(os.environ["VSDB_TEST_DSN"]).admin() as connection:
            of_pgvector = "select default_version from pg_available_extensions where name = 'vector'"
            row = connection.execute(f"select current_setting('server_version'), ({of_pgvector})").fetchone()
        return "PostgreSQL {} with pgvector {}".format(*row or ())
    programs = programs_folder()
    control = (programs.parent / "share/postgresql/extension/vector.control").read_text(encoding="utf-8")
    said = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    (pgvector,) = re.findall(r"default_version = '(.+)'", control)
    return f"embedded PostgreSQL {said.split()[-1]} with pgvector {pgvector}"


@contextmanager
def running() -> Iterator[Server]:
    """The server; an embedded one is stopped and removed afterwards."""
    if is_given():
        yield Server(os.environ["VSDB_TEST_DSN"])
        return
    # Not under pytest's folder, whose parents must stay private.
    home = Path(tempfile.mkdtemp(prefix="vsdb-test-"))
    embedded = EmbeddedServer(home)
    try:
        with psycopg.connect(embedded.start(), autocommit=True) as connection:
            connection.execute("alter system set fsync = off")  # a crash of the machine may cost a test its data
            connection.execute("select pg_reload_conf()")
        yield Server(embedded.dsn(OWNER) or "", programs=embedded.program("psql").parent)
    finally:
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)
