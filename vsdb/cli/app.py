"""The commands. Data goes to stdout, progress and messages to stderr; 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, NoReturn

import psycopg
import typer

from vsdb.cli import db, manage
from vsdb.cli.ingest import ingest
from vsdb.cli.judge import calibrate, judge
from vsdb.cli.models import models
from vsdb.cli.output import say
from vsdb.cli.query import explain, query
from vsdb.cli.reembed import reembed
from vsdb.cli.serve import serve
from vsdb.database.connect import database_message
from vsdb.errors import UsageError, VsdbError
from vsdb.readable import visible

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
    judge,
    calibrate,
    serve,
    reembed,
    manage.videos,
    manage.remove,
    manage.status,
    manage.doctor,
    models,
    manage.demo,
    manage.migrate,
):
    app.command()(command)
app.add_typer(db.app, name="db")


INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> None:
    """Run the command line; errors that vsdb raises on purpose become one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):  # file names can be bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(_run())
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", INTERRUPTED)
    except UsageError as error:
        _fail(f"error: {error}", 2)
    except UnicodeEncodeError:  # what it was is not shown: a DSN can hold a password
        _fail("error: an argument or environment variable holds bytes that are not valid UTF-8", 2)
    except VsdbError as error:
        _fail(f"error: {error}")
    except psycopg.Error as error:
        _fail(f"error: the database says: {database_message(error)}")
    except (ImportError, MemoryError) as error:
        _fail(f"error: something cannot be loaded: {str(error).strip() or 'no memory'}; is there enough memory?")
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # "vsdb videos | head": not an error
            say(visible(f"error: {error}"))
        if sys.stdout is not None:  # whose rest would be written when Python exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if not hasattr(error, "format_message"):  # Typer's own, which are click's or a copy of them
            raise
        _say_usage(error)
        sys.exit(2)


def _run() -> int:
    """Run the command and write its answer out: a disk that is full must show here, not when Python exits."""
    try:
        return app(standalone_mode=False) or 0
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


def _fail(message: str, code: int = 1) -> NoReturn:
    say(visible(message))
    sys.exit(code)


def _say_usage(error: Any) -> None:
    """What was wrong with the call; the words of the call itself must not steer the terminal."""
    message = error.format_message()
    if not message:
        return  # the help was printed
    if error.ctx is not None:
        say(f'{error.ctx.get_usage()}\n"{error.ctx.command_path} --help" says more')
    say(visible(f"error: {message}"))
