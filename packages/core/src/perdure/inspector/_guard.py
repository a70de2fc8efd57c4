"""Who is let in: whoever has the token, asking this host by its name, and only to read.

The token comes once, in the URL that is opened; from then on it is in a cookie that no script can read and no other
site can send. A page elsewhere whose name was pointed here (DNS rebinding) is turned away by the name that it asks for.
What is answered may load nothing but its own style and script, and is kept by no cache.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_ADDRESS: Final = "*"
"""As a host: any address, though no name, for only names can be pointed elsewhere."""

_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})
_STATIC = "/static/"
_TOKEN = "token"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def hosts_of(address: str) -> frozenset[str]:
    """Return the names under which whoever listens at an address may be asked."""
    return LOOPBACK | {ANY_ADDRESS if address in _EVERYWHERE else address.lower()}


class Guard:
    """Stands before an application. `refused` answers who has no token; the style and the script need none."""

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str], refused: ASGIApp) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = hosts
        self._refused = refused
        self._cookie = f"perdure-{hashlib.sha256(self._token).hexdigest()[:8]}"  # one for each inspector of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._judged(scope)(scope, receive, _with_headers(send))
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)

    def _judged(self, scope: Scope) -> ASGIApp:
        """Return what is to answer."""
        asked = HTTPConnection(scope)
        if not self._is_known(asked.headers.get("host", "")):
            return PlainTextResponse("this host is not known by that name", HTTPStatus.MISDIRECTED_REQUEST)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("this is for reading", HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for key, value in query if key == _TOKEN), None)
        if given is not None and self._is_token(given):
            return self._let_in(path, [part for part in query if part[0] != _TOKEN])
        if path.startswith(_STATIC) or self._is_token(asked.cookies.get(self._cookie, "")):
            return self._app
        return self._refused

    def _let_in(self, path: str, query: list[tuple[str, str]]) -> Response:
        """Have the token in the cookie, and no longer in the address."""
        page = path.rpartition("/")[2]
        response = RedirectResponse(f"./{page}{'?' * bool(query)}{urlencode(query)}", HTTPStatus.SEE_OTHER)
        response.set_cookie(self._cookie, self._token.decode(), httponly=True, samesite="strict")
        return response

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "replace"), self._token)

    def _is_known(self, host: str) -> bool:
        name = host.removeprefix("[").partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return name.lower() in self._hosts or (ANY_ADDRESS in self._hosts and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
