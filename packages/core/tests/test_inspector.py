"""What the inspector shows, to whom, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any, ClassVar, TypeAlias
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette")
pytest.importorskip("jinja2")
pytest.importorskip("httpx2")

import httpx2
from starlette.applications import Starlette
from starlette.routing import Mount

from perdure import (
    ActorSystem,
    DurableStateActor,
    Event,
    Full,
    Keyring,
    Light,
    Message,
    PersistentActor,
    Sealing,
    every_n_events,
    never,
    replay,
)
from perdure.abc import Backend, Page, Put
from perdure.inspector import _states, application
from perdure.inspector._difference import NOTHING, Line, difference
from perdure.inspector._documents import document, pretty
from perdure.inspector._guard import LOOPBACK, hosts_of
from perdure.inspector._records import Records
from perdure.inspector._serve import without_secrets
from perdure.journal import EVENTS
from perdure.memory import MemoryBackend

from .diaries import ONE, SECRET, TWO, entries, write

TOKEN = "the-token-of-the-test"
HOSTILE = "<script>alert('x')</script>\"'&\u202e"

Document: TypeAlias = dict[str, Any]


class Note(Message[int]):
    text: str


class Strike(Message[int]):
    pass


class Noted(Event):
    text: str


class Struck(Event):
    pass


class Board(PersistentActor[dict[str, Any], Noted | Struck]):
    """Counts its notes and keeps them; changes its state in place."""

    initial_state: ClassVar[Any] = {"count": 0, "notes": []}
    strategy: ClassVar[Any] = Full(snapshot=never)

    async def handle(self, message: Any, context: Any) -> int:
        await self.persist(Noted(message.text) if isinstance(message, Note) else Struck())
        count: int = self.state["count"]
        return count

    def apply(self, state: dict[str, Any], event: Noted | Struck) -> None:
        if isinstance(event, Noted):
            state["notes"].append(event.text)
        elif state["notes"]:
            state["notes"].pop(0)
        state["count"] += 1

    def tags(self, event: Noted | Struck) -> tuple[str, ...]:
        return (f"tag-{SECRET}",)


class Shelf(Board):
    """Removes what a snapshot covers."""

    strategy = Full(snapshot=every_n_events(4), keep_snapshots=1, compact=True)


class Lamp(Board):
    """Has its state stored with each event."""

    strategy = Light()


class Person(Board):
    @staticmethod
    def subject(persistence_id: str) -> str:
        return persistence_id


class Limit(DurableStateActor[str]):
    initial_state = ""

    async def handle(self, message: Any, context: Any) -> int:
        await self.save(message.text)
        return self.revision


KINDS = [Board, Shelf, Lamp, Person]


@pytest.fixture
async def store() -> AsyncIterator[MemoryBackend]:
    backend = MemoryBackend()
    yield backend
    await backend.close()


async def tell(store: Backend, kind: type[Any], key: str, *texts: str, sealing: Sealing | None = None) -> None:
    """Have an actor store what it is told."""
    async with ActorSystem(store=store, sealing=sealing) as system:
        for text in texts:
            await system.ref(kind, key).ask(Note(text))


@asynccontextmanager
async def visitor(
    store: Backend, /, *, kinds: Collection[type[Any]] = KINDS, base: str = "http://localhost:1234", **options: Any
) -> AsyncGenerator[Any, None]:
    """Yield a client that has no token yet."""
    app = application(store, list(kinds), token=TOKEN, **options)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=base) as client:
        yield client


@asynccontextmanager
async def inspector(store: Backend, **options: Any) -> AsyncGenerator[Any, None]:
    """Yield a client that has been let in."""
    async with visitor(store, **options) as client:
        await client.get("/", params={"token": TOKEN})
        yield client


class Seen(HTMLParser):
    """What a browser makes of a page: its elements, what they may run, and the text that is read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str | None] = []
        self.running: list[str] = []
        self.links: list[str] = []
        self._texts: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.running += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag == "script":
            self.scripts.append(dict(attrs).get("src"))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_data(self, data: str) -> None:
        self._texts.append(data)


async def seen(client: Any, path: str, **query: Any) -> Seen:
    answer = await client.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return Seen(answer.text)


def listed(page: Seen) -> list[str]:
    """Return the links to actors of a page."""
    return [link for link in page.links if link.startswith("actor?")]


class TestWhoIsLetIn:
    async def test_without_the_token_nothing_is_shown(self, store: MemoryBackend) -> None:
        await tell(store, Board, "alice", "hello")

        async with visitor(store, store="sqlite:///alice.db") as client:
            answers = [await client.get(path) for path in ("/", "/actor?id=Board/alice", "/live", "/state.json?id=x")]

        assert {answer.status_code for answer in answers} == {401}
        assert not any("alice" in answer.text for answer in answers)

    @pytest.mark.parametrize("token", ["", "x", f"{TOKEN}x", TOKEN[:-1], "тайна"])
    async def test_another_token_lets_nobody_in(self, store: MemoryBackend, token: str) -> None:
        async with visitor(store) as client:
            answer = await client.get("/", params={"token": token})

        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers

    async def test_the_token_goes_from_the_address_into_a_cookie(self, store: MemoryBackend) -> None:
        """So it is in no address that is shared, kept in a history or sent as a referrer."""
        async with visitor(store) as client:
            answer = await client.get("/actor", params={"id": "a&b", "token": TOKEN})

        assert answer.status_code == 303
        assert answer.headers["location"] == "./actor?id=a%26b"
        attributes = answer.headers["set-cookie"].lower().split("; ")
        assert {"httponly", "samesite=strict"} <= set(attributes)

    async def test_who_has_the_cookie_is_let_in(self, store: MemoryBackend) -> None:
        async with inspector(store) as client:
            assert (await client.get("/")).status_code == 200

    @pytest.mark.parametrize("name", ["localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]", "[::1]:8000"])
    async def test_this_machine_is_known_by_its_names(self, store: MemoryBackend, name: str) -> None:
        async with inspector(store) as client:
            assert (await client.get("/", headers={"host": name})).status_code == 200

    @pytest.mark.parametrize(
        "name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "[::2]", ""]
    )
    async def test_who_asks_by_another_name_is_turned_away(self, store: MemoryBackend, name: str) -> None:
        """It may be a page elsewhere whose name was pointed here."""
        async with inspector(store) as client:
            answer = await client.get("/", headers={"host": name}, params={"token": TOKEN})

        assert answer.status_code == 421
        assert "set-cookie" not in answer.headers

    async def test_who_listens_everywhere_is_known_by_any_address_and_by_no_name(self, store: MemoryBackend) -> None:
        async with inspector(store, hosts=hosts_of("0.0.0.0")) as client:
            answers = [await client.get("/", headers={"host": host}) for host in ("10.1.2.3:80", "evil.example")]

        assert [answer.status_code for answer in answers] == [200, 421]

    def test_who_listens_at_one_address_is_known_by_that_too(self) -> None:
        assert hosts_of("Inspector.lan") == LOOPBACK | {"inspector.lan"}

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
    async def test_it_is_for_reading_only(self, store: MemoryBackend, method: str) -> None:
        async with inspector(store) as client:
            assert (await client.request(method, "/")).status_code == 405

    @pytest.mark.parametrize("path", ["/", "/nowhere", "/static/inspector.css", "/actor?id=none", "/?token=x", "/live"])
    async def test_all_answers_forbid_what_is_not_needed(self, store: MemoryBackend, path: str) -> None:
        async with inspector(store) as client:
            headers = (await client.get(path)).headers

        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"

    async def test_pages_run_no_script_but_the_one_that_is_theirs(self, store: MemoryBackend) -> None:
        await tell(store, Board, "alice", "hello")

        async with inspector(store) as client:
            pages = [await seen(client, path) for path in ("/", "/actor?id=Board/alice", "/live")]

        assert {tuple(page.scripts) for page in pages} == {("static/inspector.js",)}
        assert not any(page.running for page in pages)
        assert not any("//" in link for page in pages for link in page.links)

    def test_a_token_is_needed(self, store: MemoryBackend) -> None:
        with pytest.raises(ValueError, match="needs a token"):
            application(store, token="")

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://user:secret@host:6379/0?password=secret", "redis://host:6379/0"),
            ("sqlite:////tmp/bank.db", "sqlite:////tmp/bank.db"),
            ("", ""),
        ],
    )
    def test_a_store_is_shown_without_what_is_secret_in_its_url(self, url: str, shown: str) -> None:
        assert without_secrets(url) == shown


class Counting(MemoryBackend):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = self.feeds = 0

    async def page(self, *args: Any, **options: Any) -> Page:
        page = await super().page(*args, **options)
        self.entries += len(page.entries)
        return page

    async def feed(self, *args: Any, **options: Any) -> Any:
        self.feeds += 1
        return await super().feed(*args, **options)


class TestActors:
    async def test_pages_have_each_actor_once(self, store: MemoryBackend) -> None:
        await write(store, *(Put(EVENTS, f"Board/{number:03}", 1, b"?") for number in range(120)))

        links = []
        async with inspector(store) as client:
            page = await seen(client, "/")
            links += listed(page)
            while following := [link for link in page.links if "after=" in link]:
                page = await seen(client, following[0])
                links += listed(page)

        assert links == [f"actor?id=Board%2F{number:03}" for number in range(120)]

    async def test_a_page_reads_one_event_of_each_of_its_actors(self) -> None:
        """So it takes as long in a store of any size."""
        store = Counting()
        await write(store, *(Put(EVENTS, f"{number:04}", key, b"?") for number in range(200) for key in (1, 2, 3)))

        async with inspector(store) as client:
            store.entries = 0
            await seen(client, "/")

        assert store.entries <= 51
        assert store.feeds == 0

    async def test_search_finds_ids_by_their_beginning(self, store: MemoryBackend) -> None:
        for key in ("ada", "adam", "bob"):
            await tell(store, Board, key, "x")

        async with inspector(store) as client:
            found = listed(await seen(client, "/", q="Board/ada"))

        assert found == ["actor?id=Board%2Fada", "actor?id=Board%2Fadam"]

    async def test_types_are_offered_and_chosen(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "x")
        await tell(store, Limit, "x", "x")
        await write(store, Put(EVENTS, "no-type", 1, b"?"))

        async with inspector(store) as client:
            page = await seen(client, "/")
            chosen = listed(await seen(client, "/", q="Limit/"))

        assert [link for link in page.links if "?q=" in link] == ["./?q=Board%2F", "./?q=Limit%2F"]
        assert chosen == ["actor?id=Limit%2Fx"]

    async def test_what_cannot_be_an_id_is_found_nowhere(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "x")

        async with inspector(store) as client:
            pages = [await seen(client, "/", q=query) for query in ("a\0b", "x" * 5000, HOSTILE)]

        assert not any(listed(page) for page in pages)


class TestActor:
    @pytest.mark.parametrize(
        "key",
        [HOSTILE, "../../etc", "//", "a?b=c#d&e%2F", "'><img src=x onerror=alert(1)>", "ключ 🦊", "a\r\nb", "x" * 900],
    )
    async def test_what_is_stored_is_shown_and_never_obeyed(self, store: MemoryBackend, key: str) -> None:
        await tell(store, Board, key, HOSTILE, "</li><img src=x>")

        async with inspector(store) as client:
            found = await seen(client, "/")
            page = await seen(client, listed(found)[0])
            fragment = await seen(client, "/step", id=f"Board/{key}", at=1)

        for shown in (found, page, fragment):
            assert "img" not in shown.tags
            assert shown.scripts in ([], ["static/inspector.js"])
            assert not shown.running
        assert "<script>alert('x')</script>" in fragment.text
        assert "\u202e" not in fragment.text

    @pytest.mark.parametrize("path", ["/actor", "/step", "/event.json", "/state.json"])
    @pytest.mark.parametrize("persistence_id", ["", "Board/nobody", "a\0b", "x" * 2000])
    async def test_who_is_not_there_is_not_found(self, store: MemoryBackend, path: str, persistence_id: str) -> None:
        async with inspector(store) as client:
            assert (await client.get(path, params={"id": persistence_id})).status_code == 404

    @pytest.mark.parametrize("at", ["x", "-1", "1.5", "9" * 30, "٣"])
    async def test_a_place_that_is_no_number_is_not_found(self, store: MemoryBackend, at: str) -> None:
        await tell(store, Board, "x", "x")

        async with inspector(store) as client:
            assert (await client.get("/actor", params={"id": "Board/x", "at": at})).status_code == 404

    @pytest.mark.parametrize(("at", "shown"), [(0, 1), (3, 3), (99, 3)])
    async def test_beyond_its_ends_is_the_nearest_event(self, store: MemoryBackend, at: int, shown: int) -> None:
        await tell(store, Board, "x", "a", "b", "c")

        async with inspector(store) as client:
            assert f"Event {shown} of 3" in (await seen(client, "/actor", id="Board/x", at=at)).text

    async def test_a_step_shows_what_the_event_changed(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "a", "b")

        async with inspector(store) as client:
            text = (await seen(client, "/step", id="Board/x", at=2)).text

        assert "count 1 → 2" in text
        assert '"a" + "b"' in text

    async def test_without_its_type_an_actor_is_shown_by_its_events(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "hello")

        async with inspector(store, kinds=()) as client:
            text = (await seen(client, "/actor", id="Board/x")).text
            state = await client.get("/state.json", params={"id": "Board/x"})

        assert 'text "hello"' in text
        assert "--type module:Class" in text
        assert state.status_code == 404

    async def test_a_durable_state_is_shown_without_its_type(self, store: MemoryBackend) -> None:
        await tell(store, Limit, "x", "four hundred")

        async with inspector(store) as client:
            text = (await seen(client, "/actor", id="Limit/x")).text

        assert '"four hundred"' in text
        assert "revision 1" in text

    async def test_snapshots_are_shown_with_what_is_in_them(self, store: MemoryBackend) -> None:
        await tell(store, Shelf, "x", *"abcdef")

        async with inspector(store, kinds=()) as client:
            text = (await seen(client, "/actor", id="Shelf/x")).text

        assert "snapshot 4" in text
        assert '["a", "b", "c", "d"]' in text

    async def test_a_huge_event_makes_no_huge_page(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "small", "y" * 6_000_000, "small")

        async with inspector(store) as client:
            answer = await client.get("/actor", params={"id": "Board/x", "at": 2})
            whole = await client.get("/event.json", params={"id": "Board/x", "at": 2})

        assert len(answer.text) < 100_000
        assert "6,000,000 characters" in answer.text
        assert whole.json() == {"text": "y" * 6_000_000}


async def states(client: Any, persistence_id: str, numbers: Collection[int]) -> dict[int, Document]:
    """Return the states after some events, asked for in this order."""
    return {
        number: (await client.get("/state.json", params={"id": persistence_id, "at": number})).json()
        for number in numbers
    }


async def replayed(store: Backend, kind: type[Any], key: str, numbers: Collection[int]) -> dict[int, Document]:
    return {number: (await replay(store, kind, key, to=number)).state for number in numbers}


class TestStates:
    @pytest.mark.parametrize("most", [_states._MOST_BYTES, 400])
    async def test_every_step_shows_what_replay_gives(
        self, store: MemoryBackend, monkeypatch: pytest.MonkeyPatch, most: int
    ) -> None:
        """Wherever one jumps from, and also when checkpoints have to go."""
        monkeypatch.setattr(_states, "_EVERY", 3)
        monkeypatch.setattr(_states, "_MOST_BYTES", most)
        async with ActorSystem(store=store) as system:
            for number in range(40):
                await system.ref(Board, "x").ask(Strike() if number % 3 == 2 else Note(str(number)))
        numbers = random.Random(7).sample(range(1, 41), 40)
        states = _states.States(Records(store, KINDS, None), KINDS, None)

        found = {number: await states.change("Board/x", "Board/x", number, None) for number in numbers}

        right = await replayed(store, Board, "x", range(41))
        assert found == {number: (right[number - 1], right[number]) for number in numbers}

    @pytest.mark.parametrize("kind", [Shelf, Lamp])
    async def test_they_go_on_from_what_is_stored(self, store: MemoryBackend, kind: type[Any]) -> None:
        """Also where the events before it are gone."""
        await tell(store, kind, "x", *"abcdefg")
        first = min(await entries(store, EVENTS, f"{kind.__name__}/x"))
        numbers = range(first + 1, 8)

        async with inspector(store) as client:
            found = await states(client, f"{kind.__name__}/x", numbers)

        assert found == await replayed(store, kind, "x", numbers)

    async def test_what_came_before_a_compacted_log_is_said_to_be_gone(self, store: MemoryBackend) -> None:
        await tell(store, Shelf, "x", *"abcdefg")

        async with inspector(store) as client:
            text = (await seen(client, "/actor", id="Shelf/x", at=1)).text

        assert "What came before event 4 is no longer in the log." in text

    async def test_the_length_of_a_log_is_folded_once(self) -> None:
        """A step then reads the events from the nearest checkpoint on, and those that are drawn."""
        store = Counting()
        await tell(store, Board, "x", "a")
        [record] = (await entries(store, EVENTS, "Board/x")).values()
        await write(store, *(Put(EVENTS, "Board/x", number, record) for number in range(2, 10_001)))

        async with inspector(store) as client:
            await seen(client, "/actor", id="Board/x")
            folded, store.entries = store.entries, 0
            await seen(client, "/step", id="Board/x", at=5_250)

        assert folded < 10_000 + 300
        assert store.entries < 500 + 150

    async def test_a_damaged_record_is_named_and_passed(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "a", "b", "c")
        await write(store, Put(EVENTS, "Board/x", 2, b"\x01\0broken"))

        async with inspector(store) as client:
            damaged = (await seen(client, "/actor", id="Board/x", at=2)).text
            behind = (await seen(client, "/actor", id="Board/x", at=3)).text
            before = await states(client, "Board/x", [1])

        assert "the checksum does not match: the record is damaged" in damaged
        assert 'text "c"' in behind
        assert "sequence number 2: the checksum does not match" in behind
        assert before == {1: {"count": 1, "notes": ["a"]}}

    async def test_a_missing_event_is_said_to_be_missing(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "a", "b", "c")
        records = await entries(store, EVENTS, "Board/x")
        await write(store, *(Put(EVENTS, "Board/gap", number, records[number]) for number in (1, 3)))

        async with inspector(store) as client:
            text = (await seen(client, "/actor", id="Board/gap", at=2)).text

        assert "Event 2 is missing from the log." in text

    async def test_an_event_that_apply_refuses_is_named(self, store: MemoryBackend) -> None:
        class Refusing(Board):
            type_name = "Board"

            def apply(self, state: Any, event: Any) -> None:
                raise RuntimeError("not this one")

        await tell(store, Board, "x", "a")

        async with inspector(store, kinds=[Refusing]) as client:
            text = (await seen(client, "/actor", id="Board/x")).text

        assert "sequence number 1: apply failed: RuntimeError: not this one" in text


class TestSealed:
    @pytest.fixture(params=[False, True], ids=["names", "hidden"])
    def sealing(self, request: pytest.FixtureRequest) -> Sealing:
        return Sealing(Keyring({1: ONE}), hide_names=request.param)

    async def test_without_a_key_what_is_sealed_stays_sealed(self, store: MemoryBackend, sealing: Sealing) -> None:
        for kind in (Board, Shelf, Lamp, Limit):
            await tell(store, kind, SECRET if sealing.hide_names else "x", *[SECRET] * 5, sealing=sealing)

        pages = []
        async with inspector(store, kinds=[Board, Shelf, Lamp]) as client:
            pages.append(await client.get("/"))
            for link in listed(Seen(pages[0].text)):
                pages += [await client.get(link), await client.get(link.replace("actor", "state.json"))]

        assert len(pages) == 9
        assert not any(SECRET in page.text for page in pages)
        assert "the record is sealed, and there are no keys" in pages[1].text

    async def test_with_its_key_it_is_shown(self, store: MemoryBackend, sealing: Sealing) -> None:
        await tell(store, Board, "x", SECRET, sealing=sealing)

        async with inspector(store, sealing=sealing) as client:
            found = listed(await seen(client, "/", q="Board/"))
            text = (await seen(client, "/actor", id="Board/x")).text

        assert found == ["actor?id=Board%2Fx"]
        assert f'text "{SECRET}"' in text
        assert f'notes: [] → ["{SECRET}"]' in text or f'+ "{SECRET}"' in text

    async def test_with_another_key_it_stays_sealed(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", SECRET, sealing=Sealing(Keyring({1: ONE})))

        async with inspector(store, sealing=Sealing(Keyring({1: TWO}))) as client:
            answer = await client.get("/actor", params={"id": "Board/x"})

        assert SECRET not in answer.text
        assert "fingerprint" in answer.text

    async def test_hidden_names_are_listed_in_pages(self, store: MemoryBackend) -> None:
        sealing = Sealing(Keyring({1: ONE}), hide_names=True)
        async with ActorSystem(store=store, sealing=sealing) as system:
            await asyncio.gather(*(system.ref(Board, f"{number}").ask(Note("x")) for number in range(60)))

        async with inspector(store, sealing=sealing) as client:
            first = await seen(client, "/")
            [following] = [link for link in first.links if "after=" in link]
            both = listed(first) + listed(await seen(client, following))

        assert sorted(both) == sorted(f"actor?id=Board%2F{number}" for number in range(60))

    async def test_who_was_forgotten_is_said_to_be(self, store: MemoryBackend) -> None:
        sealing = Sealing(Keyring({1: ONE}))
        async with ActorSystem(store=store, sealing=sealing) as system:
            await system.ref(Person, "x").ask(Note(SECRET))
            await system.forget("Person/x")

        async with inspector(store, sealing=sealing) as client:
            text = (await seen(client, "/actor", id="Person/x")).text

        assert SECRET not in text
        assert "its subject was forgotten" in text


class Stream:
    """What an application sends, as it comes; whoever leaves hangs up."""

    def __init__(self, app: Any, path: str, headers: dict[str, str]) -> None:
        self._app = app
        self._path, _, self._query = path.partition("?")
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._left = asyncio.Event()

    async def __aenter__(self) -> Stream:
        scope = {
            "type": "http",
            "method": "GET",
            "path": self._path,
            "query_string": self._query.encode(),
            "headers": self._headers,
        }
        self._task = asyncio.create_task(self._app(scope, self._receive, self._sent.put))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left.set()
        await self._task

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def end(self) -> None:
        """Return when it has ended by itself."""
        async with asyncio.timeout(60):
            await asyncio.shield(self._task)

    async def until(self, text: str) -> str:
        """Return what was sent up to the part that holds a text."""
        async with asyncio.timeout(60):
            while text not in (part := (await self._sent.get()).get("body", b"").decode()):
                pass
        return part


@asynccontextmanager
async def stream(
    store: Backend, path: str, headers: dict[str, str] | None = None, *, poll: float = 0.01, **options: Any
) -> AsyncGenerator[Stream, None]:
    app = application(store, KINDS, token=TOKEN, poll=poll, **options)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        cookie = (await client.get("/", params={"token": TOKEN})).headers["set-cookie"].partition(";")[0]
    async with Stream(app, path, {"host": "localhost", "cookie": cookie, **(headers or {})}) as opened:
        yield opened


class TestLive:
    async def test_what_is_stored_is_told_as_it_comes(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "before")

        async with stream(store, "/live/events") as live:
            await live.until("event: ready")
            await tell(store, Board, "x", HOSTILE)
            told = await live.until("event: events")

        assert "before" not in told
        assert "&lt;script&gt;alert" in told
        assert "<script>" not in told

    async def test_a_damaged_record_is_told_and_passed(self, store: MemoryBackend) -> None:
        async with stream(store, "/live/events") as live:
            await live.until("event: ready")
            await write(store, Put(EVENTS, "Board/x", 1, b"\x01\0broken"))
            told = await live.until("event: events")
            await tell(store, Board, "y", "behind it")
            behind = await live.until("event: events")

        assert "the checksum does not match" in told
        assert "behind it" in behind

    async def test_who_comes_back_misses_nothing(self, store: MemoryBackend) -> None:
        async with stream(store, "/live/events") as live:
            await live.until("event: ready")
            await tell(store, Board, "x", "one")
            told = await live.until("event: events")
        [place] = re.findall("^id: (.+)$", told, re.MULTILINE)
        await tell(store, Board, "x", "two")

        async with stream(store, "/live/events", {"last-event-id": place}) as live:
            told = await live.until("event: events")

        assert "two" in told
        assert "one" not in told

    async def test_a_place_of_another_store_is_its_end(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "one")

        async with stream(store, "/live/events", {"last-event-id": "nonsense"}) as live:
            assert "one" not in await live.until("event: ready")

    @pytest.mark.parametrize("path", ["/live/events", "/live/head?id=Board/x"])
    async def test_it_ends_when_all_is_over(self, store: MemoryBackend, path: str) -> None:
        """Nobody who looks on keeps a server from its end."""
        closing = asyncio.Event()

        async with stream(store, path, closing=closing, poll=3600) as live:
            await live.until(":")
            closing.set()
            await live.end()

    async def test_an_actor_is_followed_by_its_last_number(self, store: MemoryBackend) -> None:
        await tell(store, Board, "x", "a")

        async with stream(store, f"/live/head?{urlencode({'id': 'Board/x'})}") as live:
            await live.until(": nothing")
            await tell(store, Board, "x", "b", "c")
            told = await live.until("data: 3")

        assert told.startswith("event: head\n")

    async def test_an_actor_is_followed_from_what_was_seen_of_it(self, store: MemoryBackend) -> None:
        """What came between the page and its following is told at once."""
        await tell(store, Board, "x", "a", "b", "c")

        async with stream(store, f"/live/head?{urlencode({'id': 'Board/x', 'at': 2})}") as live:
            told = await live.until("data: 3")

        assert told.startswith("event: head\n")


def test_a_state_may_be_anything() -> None:
    """Also what JSON has no word for."""

    class Odd:
        def __repr__(self) -> str:
            raise ValueError

    value = {(1, 2): Odd(), 3: {4.5: float("inf")}, "set": {1}, "bytes": b"\xff", "odd": "\ud800", "int": 10**30}

    assert json.loads(pretty(document(value))) == {
        "(1, 2)": "<Odd: its repr raised ValueError>",
        "3": {"4.5": float("inf")},
        "set": [1],
        "bytes": "/w==",
        "odd": "\ud800",
        "int": 10**30,
    }


def test_tuples_are_lists() -> None:
    """A state that was decoded has the one where the state that was folded has the other."""
    assert document({"a": (1, (2,))}) == {"a": [1, [2]]}


def signs(before: Any, after: Any) -> list[tuple[str, str]]:
    """Return how lines have changed, but for those that have not."""
    return [(line.sign, line.text) for line in difference(before, after) if line.sign != "same"]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (1, 1, []),
        (1, 2, [("changed", "2")]),
        (1, 1.0, [("changed", "1.0")]),
        (1, True, [("changed", "true")]),
        (float("nan"), float("nan"), []),
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, [("added", "3"), ("removed", "1")]),
        (["a", "c"], ["a", "b", "c"], [("added", '"b"')]),
        (["a", "b", "c"], ["a", "c"], [("removed", '"b"')]),
        (["a", "b"], ["a", "x"], [("changed", '"x"')]),
        ([{"a": 1}], [{"a": 2}], [("changed", "2")]),
        ({"a": 1}, [1], [("removed", "{"), ("removed", "1"), ("removed", "}"), *[("added", x) for x in "[1]"]]),
        ([], {}, [("removed", "[]"), ("added", "{}")]),
    ],
)
def test_a_difference_is_what_has_changed(before: Any, after: Any, changes: list[tuple[str, str]]) -> None:
    assert signs(before, after) == changes


def test_what_has_changed_is_found_among_much_that_has_not() -> None:
    many = {f"key {number}": list(range(1000)) for number in range(1000)}

    lines = difference(many, {**many, "key 500": [*range(1000), "new"]})

    assert len(lines) < 250
    assert Line("added", 2, None, '"new"') in lines


def test_a_document_of_any_size_and_depth_is_some_lines() -> None:
    deep: Any = "end"
    for _ in range(300):
        deep = {"down": [deep]}

    for found in (deep, "x" * 10**6, list(range(10**5)), {str(number): {} for number in range(10**5)}):
        assert len(difference(NOTHING, found)) < 100
        assert all(len(line.text) < 400 for line in difference({"a": deep}, found))


def test_the_command_says_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    from perdure.cli import main

    for name in [name for name in sys.modules if name.startswith("perdure.inspector")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)

    code = main(["inspect", "memory://none"])

    assert code == 2
    assert capsys.readouterr().err.endswith("is not installed. Run: pip install 'perdure[inspect]'\n")


async def test_it_can_be_mounted(store: MemoryBackend) -> None:
    """Its links are relative, so it works below any path."""
    await tell(store, Board, "x", "hello")
    app = Starlette(routes=[Mount("/below", application(store, token=TOKEN))])

    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://localhost", follow_redirects=True
    ) as client:
        page = await client.get("/below/", params={"token": TOKEN})
        actor = await client.get(f"/below/{listed(Seen(page.text))[0]}")
        style = await client.get("/below/static/inspector.css")

    assert [page.status_code, actor.status_code, style.status_code] == [200, 200, 200]
    assert "hello" in actor.text
