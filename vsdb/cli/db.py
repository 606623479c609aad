"""``vsdb db``: the embedded PostgreSQL, and psql on whichever database is in use."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated

import typer
from psycopg.conninfo import make_conninfo

from vsdb.cli.options import Dsn
from vsdb.cli.output import exact, say
from vsdb.config import home, resolve
from vsdb.database import connect
from vsdb.database.embedded import READER, EmbeddedServer
from vsdb.errors import UsageError

app = typer.Typer(help="Start, stop and reach the embedded PostgreSQL.", no_args_is_help=True)


@app.command()
def start(
    listen: Annotated[
        int | None,
        typer.Option(
            min=1024,
            max=65535,
            metavar="PORT",
            help="Also listen on 127.0.0.1 at this port, with a password, for BI tools; until it is stopped.",
            show_default=False,
        ),
    ] = None,
    dsn: Dsn = None,
) -> None:
    """Start the embedded PostgreSQL and print its DSN; every command does this by itself."""
    server = _embedded(dsn)
    print(exact(server.start(listen_port=listen)))
    address = server.listen_address()
    if address:
        say(
            f"listening on {address[0]}:{address[1]} for role {READER}, database vsdb; "
            f"its password is in {server.password_file}"
        )


@app.command()
def stop(dsn: Dsn = None) -> None:
    """Stop the embedded PostgreSQL; the data stay."""
    stopped = _embedded(dsn).stop()
    say("stopped" if stopped else "it was not running")


@app.command("dsn")
def print_dsn(dsn: Dsn = None) -> None:
    """Print the connection string, for psql, a BI tool or another program (the embedded server is started)."""
    print(exact(connect.find_dsn(resolve(dsn=dsn))))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context, dsn: Dsn = None) -> None:
    """Open psql on the database; further arguments go to psql.

    vsdb db psql
    vsdb db psql -c "select * from vsdb.videos_view"
    """
    settings = resolve(dsn=dsn)
    parts = connect.parse_dsn(connect.find_dsn(settings))
    password = parts.pop("password", None)
    if password:  # psql's arguments stand in the process list, its environment does not
        os.environ["PGPASSWORD"] = password
    program = shutil.which("psql") if settings.dsn else None
    program = program or str(EmbeddedServer(settings.home).program("psql"))
    sys.stdout.flush()
    os.execv(program, [program, make_conninfo("", **parts), *context.args])


def _embedded(dsn: str | None) -> EmbeddedServer:
    if dsn:
        raise UsageError("start and stop are for the embedded database; a server with a DSN is run by its own tools")
    return EmbeddedServer(home())
