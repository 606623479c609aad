"""The commands. Data goes to stdout, progress and messages to stderr; 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import io
import os
import sys

import psycopg
import typer

from vsdb.cli import db, manage
from vsdb.cli.ingest import ingest
from vsdb.cli.output import say
from vsdb.cli.query import explain, query
from vsdb.cli.serve import serve
from vsdb.database.connect import database_message
from vsdb.errors import UsageError, VsdbError

app = typer.Typer(
    help="Semantic video search in PostgreSQL: ingest videos, then ask for moments in plain words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The database is --dsn, else VSDB_DSN, else an embedded PostgreSQL under VSDB_HOME.",
)

for command in (
    ingest,
    query,
    explain,
    serve,
    manage.videos,
    manage.remove,
    manage.status,
    manage.doctor,
    manage.demo,
    manage.migrate,
):
    app.command()(command)
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command line; errors that vsdb raises on purpose become one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):  # file names can be bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _run()
    except UsageError as error:
        say(f"error: {error}")
        sys.exit(2)
    except UnicodeEncodeError:  # what it was is not shown: a DSN can hold a password
        say("error: an argument or environment variable holds bytes that are not valid UTF-8")
        sys.exit(2)
    except VsdbError as error:
        say(f"error: {error}")
        sys.exit(1)
    except psycopg.Error as error:
        say(f"error: the database says: {database_message(error)}")
        sys.exit(1)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # "vsdb videos | head": not an error
            say(f"error: {error}")
        if sys.stdout is not None:  # whose rest would be written when Python exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run() -> None:
    """Run the command and write its answer out: a disk that is full must show here, not when Python exits."""
    try:
        app()
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()
