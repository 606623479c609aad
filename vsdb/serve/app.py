"""The application: routes, errors that say what to do, the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import errors
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

import vsdb
from vsdb.config import Settings
from vsdb.database.connect import database_message
from vsdb.errors import UsageError, VideoError, VsdbError
from vsdb.serve.files import FileKeeper
from vsdb.serve.guard import Access, Guard
from vsdb.serve.images import Encoders, Images
from vsdb.serve.judging import Judging
from vsdb.serve.leaving import Leaving
from vsdb.serve.pool import STATEMENT_SECONDS, ReaderPool
from vsdb.serve.routes import NotFoundError, Service, TooLargeError, router

MAX_THREADS = 200  # searches that wait for a connection leave threads for pictures and videos
PAGE = Path(__file__).parent / "page"


def make_app(settings: Settings, access: Access, *, may_judge: bool = False) -> FastAPI:
    """Make the application; it connects when it is started and closes its connections when it ends."""
    pool = ReaderPool(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
        pool.open()
        yield
        pool.close()

    app = FastAPI(
        title="vsdb",
        version=vsdb.__version__,
        description="Ask videos in plain words. The same answers as the SQL functions of the schema vsdb.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # it would come from another site
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(Guard, access=access), Middleware(Leaving)],
    )
    encoders = Encoders()
    app.state.service = Service(
        pool, encoders, Images(encoders), FileKeeper(), Judging(pool, encoders) if may_judge else None
    )
    app.include_router(router)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    _say_errors(app)
    return app


def _say_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    def bad_parameters(_: Request, error: RequestValidationError) -> JSONResponse:
        return _error(422, "; ".join(map(_what_is_wrong, error.errors())))

    @app.exception_handler(VsdbError)
    def refused(_: Request, error: VsdbError) -> JSONResponse:
        return _error(422 if isinstance(error, (UsageError, VideoError)) else 503, str(error))

    @app.exception_handler(psycopg.Error)
    def database_failed(_: Request, error: psycopg.Error) -> JSONResponse:
        if isinstance(error, errors.QueryCanceled):
            return _error(503, f"this took longer than {STATEMENT_SECONDS} s; narrow the search")
        is_theirs = isinstance(error, psycopg.DataError)
        return _error(422 if is_theirs else 503, f"the database says: {database_message(error)}")

    @app.exception_handler(NotFoundError)
    def not_found(_: Request, error: NotFoundError) -> JSONResponse:
        return _error(404, str(error))

    @app.exception_handler(TooLargeError)
    def too_large(_: Request, error: TooLargeError) -> JSONResponse:
        return _error(413, str(error))

    @app.exception_handler(ClientDisconnect)
    def left(_: Request, __: ClientDisconnect) -> JSONResponse:
        return _error(400, "the body did not arrive")  # for the record: nobody is there to read it

    @app.exception_handler(HTTPException)
    def no_route(_: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail).lower())


def _what_is_wrong(error: dict[str, object]) -> str:
    """One line on a parameter: its name, what was expected, what was given."""
    place = error.get("loc", ())
    names = [str(part) for part in place if part not in ("query", "path", "body")] if isinstance(place, tuple) else []
    message = str(error.get("msg", "is wrong"))
    if error.get("type") == "extra_forbidden":
        return f"{'.'.join(names)}: there is no such parameter"
    if error.get("type") == "missing":
        return f"{'.'.join(names)}: is missing"
    return f"{'.'.join(names)}: {message[:1].lower()}{message[1:]}, got {str(error.get('input'))[:100]!r}"


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)
