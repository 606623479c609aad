"""Who may ask: the token, the name the server was called by, and what a browser may do with the answers."""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsdb.errors import UsageError
from vsdb.serve.guesses import Guesses

MIN_TOKEN_LENGTH = 12
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who is let in."""

    token: str | None
    """What every request must carry; None lets in whoever reaches the address."""
    names: frozenset[str]
    """Names by which the server may be called where there is no token."""
    cookie: str
    """Name of the cookie that holds the token; cookies do not tell ports apart, so it names the port."""


class Guard:
    """ASGI middleware in front of every route.

    Without a token the address alone protects, so a page of another site must not reach it by a name of its own
    (DNS rebinding): the Host header must be one of ``names``. With a token, any name will do.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a stranger, or hand on and add the headers that keep a browser strict."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SAFE_HEADERS)
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_strictly)
        return None

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._access.token is None:
            name = re.sub(r":\d+$", "", headers.get("host", "")).lower()
            if name not in self._access.names:
                return _error(421, f'this server is not called "{name}"; use {", ".join(sorted(self._access.names))}')
        else:
            refusal = self._stranger(scope, headers)
            if refusal:
                return refusal
        if _is_of_another_site(scope, headers):
            return _error(403, "pages of other sites may not ask")
        return None

    def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """What to answer whoever has no token, a wrong one, or the right one in the address."""
        address = str((scope.get("client") or ("",))[0])
        if self._guesses.are_spent(address):
            return _error(429, "too many wrong tokens from this address; wait a second")
        fields = parse_qsl(scope["query_string"].decode("latin-1"))
        in_address = dict(fields).get("token", "") if scope["path"] == "/" and scope["method"] == "GET" else ""
        given = [each for each in (in_address, *self._given(headers)) if each]
        if not any(self._is_token(each) for each in given):
            if given:
                self._guesses.add(address)
            return _error(401, "a token is missing or wrong")
        return self._without_token(fields) if in_address else None

    def _given(self, headers: Headers) -> tuple[str, ...]:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return (bearer.strip(),)
        return (cookie_parser(headers.get("cookie", "")).get(self._access.cookie, ""),)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._access.token or "").encode())

    def _without_token(self, fields: list[tuple[str, str]]) -> Response:
        """Trade ``/?token=…`` for a cookie, and take the token out of the address."""
        rest = urlencode([(name, value) for name, value in fields if name != "token"])
        response = RedirectResponse(f"/?{rest}" if rest else "/", status_code=303)
        assert self._access.token
        response.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="strict")
        return response


def _is_of_another_site(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another site, or of another port of this machine, is behind a request.

    Following a link to the page itself is all that such a page may do: not post a form to it, not frame it.
    Source: Fetch Metadata Request Headers (W3C); browsers without them send Origin with what is no GET.
    """
    site = headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return False
    if site is None:
        origin = headers.get("origin")
        is_read = scope["method"] in ("GET", "HEAD")
        return not is_read and origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    follows_link = (
        headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    )
    return not (follows_link and scope["method"] == "GET" and scope["path"] == "/")


def is_local(host: str) -> bool:
    """Whether an address or name leads to this machine and nowhere else.

    Raises:
        UsageError: no such name.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f'--host "{host}" is no address of this machine: {error.strerror or error}') from None
    return all(ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_loopback for each in found)


def check_token(token: str) -> str:
    """The token itself.

    Raises:
        UsageError: too short to be a secret, or of characters that an address and a cookie do not carry.
    """
    if len(token) < MIN_TOKEN_LENGTH or not re.fullmatch(r"[A-Za-z0-9_.~-]+", token):
        raise UsageError(
            f"the token has {len(token)} characters; expected {MIN_TOKEN_LENGTH} or more letters, digits, or any of "
            '_ . ~ - (such as "openssl rand -hex 16" prints)'
        )
    return token


def _error(status: int, message: str) -> Response:
    headers = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}}.get(status)
    return JSONResponse({"error": message}, status_code=status, headers=headers)
