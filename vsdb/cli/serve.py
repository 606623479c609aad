"""``vsdb serve``."""

from __future__ import annotations

import secrets
import socket
import sys
from typing import Annotated

import typer

from vsdb.api import Index
from vsdb.cli.options import Dsn
from vsdb.config import resolve
from vsdb.database.judgements import may_judge
from vsdb.errors import UsageError, VsdbError

EVERYWHERE = ("0.0.0.0", "::")


def serve(
    dsn: Dsn = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VSDB_TOKEN",
            metavar="TOKEN",
            help="Let in only who has it. On another address than this machine's own one is made up if none is given. "
            "Keep it in VSDB_TOKEN: others can read a command's flags.",
            show_default=False,
            show_envvar=False,
        ),
    ] = None,
    judge: Annotated[
        bool, typer.Option("--judge", help="Let visitors note which moments are right; it writes nothing else.")
    ] = False,
) -> None:
    """Open a page to search, look and play, with a JSON API, until Ctrl-C.

    vsdb serve
    vsdb serve --port 8080
    vsdb serve --host 0.0.0.0
    """
    from vsdb.serve.guard import LOCAL_NAMES, Access, check_token, is_local
    from vsdb.serve.server import run

    is_open = not is_local(host)
    is_told = token is None or sys.stdout.isatty()  # a token that was given need not stand in a service's log
    token = check_token(token) if token else secrets.token_urlsafe(16) if is_open else None
    settings = resolve(dsn=dsn)
    with Index(settings) as index:
        connection = index.connection  # starts the embedded server, and says what is wrong with the schema
        if judge and not may_judge(connection):
            raise UsageError(
                "--judge writes to vsdb.judgements, which this user may not; connect as the owner, to no standby"
            )
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        seen = socket.gethostname() if host in EVERYWHERE else name
        address = f"http://{seen}:{port}/" + (f"?token={token}" if token and is_told else "")
        access = Access(token=token, names=LOCAL_NAMES | {name.lower()}, cookie=f"vsdb_token_{port}")
        ready = f"vsdb serves {address} until Ctrl-C"
        run(settings, access, listener, may_judge=judge, ready=lambda: print(ready, flush=True))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except PermissionError:
        raise UsageError(f"port {port} is not for you to listen on; take one from 1024 up: --port 8000") from None
    except OSError as error:
        if "in use" in str(error):
            raise VsdbError(
                f"port {port} is in use, perhaps by another vsdb serve; take another: --port {port + 1} (0: a free one)"
            ) from None
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
