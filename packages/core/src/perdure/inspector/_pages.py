"""The pages: what is asked for, and what is shown of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from perdure.abc import check_prefix
from perdure.errors import InvalidIdentifier, StoreError
from perdure.inspector import _pictures as pictures
from perdure.inspector import _wording as wording
from perdure.inspector._difference import NOTHING, difference
from perdure.inspector._directory import Directory
from perdure.inspector._documents import Document, brief, pretty, visible
from perdure.inspector._records import Event, Records
from perdure.inspector._states import States
from perdure.inspector._step import Step, step
from perdure.inspector._tail import News, Tail
from perdure.inspector._timeline import Bounds, Timeline
from perdure.query._stored_states import StoredState, stored_states
from perdure.snapshots import SnapshotStore

_PACKAGE = "perdure.inspector"
_MOST_STATES = 10
_MOST_NUMBER = 18  # digits


class Pages:
    """Answers for one store, which is called `store` on each page."""

    def __init__(
        self, store: str, records: Records, states: States, snapshots: SnapshotStore | None, tail: Tail
    ) -> None:
        self._records = records
        self._states = states
        self._snapshots = snapshots
        self._tail = tail
        self._directory = Directory(records)
        self._templates = Environment(
            loader=PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_seen,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            pictures=pictures, wording=wording, store=store, brief=_brief, hue=pictures.Hues().of
        )
        self._templates.filters["link"] = lambda text: quote(text, safe="")
        for name in self._templates.list_templates():  # so that the first page is as quick as the others
            self._templates.get_template(name)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.actors),
            Route("/actor", self.actor),
            Route("/step", self.step),
            Route("/event.json", self.event),
            Route("/state.json", self.state),
            Route("/live", self.live),
            Route("/live/events", self.events),
            Route("/live/head", self.head),
            Mount("/static", StaticFiles(packages=[(_PACKAGE, "static")])),
        ]

    async def actors(self, request: Request) -> Response:
        """Show a page of the actors whose ids begin with `q`."""
        query, after = request.query_params.get("q", "").strip(), request.query_params.get("after", "")
        listing = await self._directory.page(query, after)
        most = max((actor.last for actor in listing.actors), default=0)
        types = await self._directory.types()
        return self._page("actors.html", query=query, after=after, listing=listing, most=most, types=types)

    async def actor(self, request: Request) -> Response:
        """Show the life of an actor, at one of its events; at the newest where none is asked for."""
        persistence_id, timeline, bounds = await self._life(request)
        stored = await self._stored(persistence_id)
        if not bounds.last and not stored:
            raise HTTPException(HTTPStatus.NOT_FOUND, "Nothing is stored under this id.")
        shown, samples = None, []
        if bounds.last:
            number = bounds.nearest(_number(request, bounds.last))
            shown = await step(timeline, self._states, persistence_id, bounds, number)
            samples = await timeline.samples(bounds)
        return self._page(
            "actor.html",
            background=self._looking_ahead(persistence_id, timeline, bounds, shown),
            persistence_id=persistence_id,
            step=shown,
            samples=samples,
            life=pictures.life(samples),
            stored=[(state, difference(NOTHING, state.state)) for state in stored],
        )

    async def step(self, request: Request) -> Response:
        """Show the part of that page that changes with the slider."""
        persistence_id, timeline, bounds = await self._life(request)
        if not bounds.last:
            raise HTTPException(HTTPStatus.NOT_FOUND, "This actor has no events.")
        number = bounds.nearest(_number(request, bounds.last))
        return self._page("step.html", step=await step(timeline, self._states, persistence_id, bounds, number))

    async def event(self, request: Request) -> Response:
        """Give an event as JSON, whole."""
        _, timeline, bounds = await self._life(request)
        event = await timeline.event(_number(request, bounds.last)) if bounds.last else None
        if event is None or event.problem is not None:
            raise HTTPException(HTTPStatus.NOT_FOUND, event.problem if event else "There is no such event.")
        documents = event.documents
        return _json(documents[0] if len(documents) == 1 else documents)

    async def state(self, request: Request) -> Response:
        """Give the state after an event as JSON, whole."""
        persistence_id, timeline, bounds = await self._life(request)
        number = _number(request, bounds.last)
        event = await timeline.event(number) if bounds.last else None
        found = event and await self._states.change(persistence_id, timeline.name, number, event.manifest)
        if not found:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such state, or its actor's type is not known.")
        return _json(found.after)

    async def live(self, request: Request) -> Response:
        return self._page("live.html")

    async def events(self, request: Request) -> Response:
        """Send the events of all actors as they come."""
        await self._records.name_of("")
        after = request.headers.get("last-event-id")
        return _Sent(self._told(self._tail.follow(after)))

    async def head(self, request: Request) -> Response:
        """Send the last sequence number of an actor whenever its log has grown, at first beyond the one asked for."""
        _, timeline, bounds = await self._life(request)
        return _Sent(_numbers(self._tail.heads(timeline.name, _number(request, bounds.last))))

    async def refuse(self, request: Request) -> Response:
        """Ask for the token."""
        return self._page("token.html", HTTPStatus.UNAUTHORIZED)

    async def fail(self, request: Request, error: Exception) -> Response:
        """Say on a page why something cannot be shown."""
        if isinstance(error, HTTPException):
            status = HTTPStatus(error.status_code)
            return self._page("error.html", status, title=status.phrase, detail=error.detail)
        title = "The store cannot be read" if isinstance(error, StoreError) else "This cannot be shown"
        return self._page("error.html", HTTPStatus.BAD_GATEWAY, title=title, detail=str(error))

    async def _life(self, request: Request) -> tuple[str, Timeline, Bounds]:
        """Return which actor is asked for, and its log. Raises `HTTPException`, `PerdureError`."""
        persistence_id = request.query_params.get("id", "")
        try:
            name = await self._records.name_of(check_prefix(persistence_id))
        except InvalidIdentifier as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from error
        timeline = Timeline(self._records, name)
        return persistence_id, timeline, await timeline.bounds()

    def _looking_ahead(
        self, persistence_id: str, timeline: Timeline, bounds: Bounds, shown: Step | None
    ) -> BackgroundTask | None:
        """Return what has the steps made quick that will be asked for next, once a page is sent."""
        if shown is None or shown.change is None or bounds.first > 1:
            return None
        manifest = None if shown.event is None else shown.event.manifest
        return BackgroundTask(self._states.look_ahead, persistence_id, timeline.name, bounds.last, manifest)

    async def _stored(self, persistence_id: str) -> list[StoredState]:
        """Return the newest states that are stored."""
        found: list[StoredState] = []
        states = stored_states(self._records.backend, self._records.vault, persistence_id, self._snapshots)
        async with aclosing(states) as stream:
            async for state in stream:
                found.append(state)
                if len(found) == _MOST_STATES:
                    break
        return found

    async def _told(self, news: AsyncIterator[News]) -> AsyncIterator[str]:
        """Yield rows of a table as server-sent events."""
        row = self._templates.get_template("row.html")
        yield ": reading\n\n"
        first = True
        async for events, offset in news:
            html = "".join(row.render(event=event) for event in events)
            yield _message(html, "events" if events else "ready" if first else None, offset)
            first = False

    def _page(
        self,
        template: str,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        background: BackgroundTask | None = None,
        **shown: object,
    ) -> HTMLResponse:
        html = self._templates.get_template(template).render(**shown)
        return HTMLResponse(html, status, background=background)


class _Sent(StreamingResponse):
    media_type = "text/event-stream"


async def _numbers(numbers: AsyncIterator[int]) -> AsyncIterator[str]:
    async for number in numbers:
        yield _message(str(number), "head" if number else None)


def _seen(value: object) -> object:
    """Return what is put into a page: text that was stored, with all of it to be seen."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _brief(event: Event) -> str:
    """Return the beginning of what is in an event, in one line."""
    return " ".join(map(brief, event.documents))


def _message(data: str, kind: str | None, identity: str | None = None) -> str:
    """Return a server-sent event; without a kind a comment, which finds out whether anybody still listens."""
    if kind is None:
        return ": nothing\n\n"
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    named = "" if identity is None else f"id: {identity}\n"
    return f"event: {kind}\n{named}{lines}\n"


def _number(request: Request, default: int) -> int:
    """Return the sequence number that is asked for. Raises `HTTPException` for what is none."""
    text = request.query_params.get("at", "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_NUMBER):
        raise HTTPException(HTTPStatus.NOT_FOUND, "A place in a log is a sequence number.")
    return max(1, int(text))


def _json(found: Document) -> Response:
    return Response(pretty(found).encode("utf-8", "backslashreplace"), media_type="application/json")
