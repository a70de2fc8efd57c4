"""The inspector in a browser: how it looks at three widths, light and dark, and what the keys do."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from perdure import ActorSystem
from perdure.abc import Put
from perdure.journal import EVENTS

from .diaries import Diary, Note, Say, entries, write

pytest.importorskip("typer")
pytest.importorskip("uvicorn")
pytest.importorskip("perdure_sqlite")
playwright = pytest.importorskip("playwright.async_api")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDTHS = (360, 820, 1440)
PATIENCE = 60_000  # milliseconds
HOSTILE = "<script>document.title = 'obeyed'</script>" + "w" * 800

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


class Inspector(NamedTuple):
    """The URL of a store, and the address that was printed, which has the token."""

    store: str
    door: str

    @property
    def base(self) -> str:
        return self.door.partition("?")[0]


async def fill(url: str) -> None:
    """Have one actor with more events than stand side by side, one with a bad name, and more than a page of others."""
    async with ActorSystem(store=url) as system:
        for number in range(130):
            await system.ref(Diary, "busy").ask(Say(f"entry {number} " * (number % 7 + 1)))
        await system.ref(Diary, HOSTILE).ask(Say(HOSTILE * 5))
        await system.ref(Note, "x").ask(Say("four hundred"))
        [*_, record] = (await entries(system.backend, EVENTS, "Diary/busy")).values()
        await write(system.backend, *(Put(EVENTS, f"Account/{number:03}", 1, record) for number in range(60)))


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspector]:
    """Run the command beside a store with some actors."""
    url = f"sqlite:///{tmp_path_factory.mktemp('inspector')}/store.db"
    asyncio.run(fill(url))
    command = [sys.executable, "-m", "perdure", "inspect", url, "--type", "diaries:Diary"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as process:
        assert process.stdout is not None
        yield Inspector(url, process.stdout.readline().strip())
        process.terminate()


class Browser:
    """A page of a browser that was let in, and what went wrong in it."""

    def __init__(self, page: Any, base: str) -> None:
        self.page = page
        self._base = base
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._look)

    def _look(self, request: Any) -> None:
        if not request.url.startswith(self._base):
            self.complaints.append(f"it asked for {request.url}")

    async def open(self, path: str = "") -> None:
        await self.page.goto(f"{self._base}{path}")

    async def shows(self, text: str, where: str = "#step") -> None:
        """Return when a part of the page has a text."""
        await self.page.wait_for_function(
            "([where, text]) => document.querySelector(where)?.textContent.includes(text)", arg=[where, text]
        )

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        width = await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return int(width)

    async def background(self) -> str:
        colour: str = await self.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return colour


@asynccontextmanager
async def browser(inspector: Inspector, scheme: str = "light") -> AsyncGenerator[Browser, None]:
    async with playwright.async_playwright() as started:
        chromium = await started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE)
        page = await chromium.new_page(color_scheme=scheme)
        opened = Browser(page, inspector.base)
        await page.goto(inspector.door)
        yield opened
        await chromium.close()
    assert opened.complaints == []


PAGES = {
    "actors": "",
    "actor": "actor?id=Diary/busy&at=60",
    "hostile": f"actor?id=Diary/{HOSTILE}",
    "durable": "actor?id=Note/x",
    "live": "live",
}


async def test_all_pages_fit_at_all_widths_in_light_and_dark(inspector: Inspector, tmp_path: Path) -> None:
    """Nothing is fetched from elsewhere, nothing sticks out, and nothing that was stored is obeyed.

    The pictures are for whoever wants to look.
    """
    backgrounds = []
    for scheme in ("light", "dark"):
        async with browser(inspector, scheme) as opened:
            for name, path in PAGES.items():
                await opened.open(path)
                backgrounds.append(await opened.background())
                for width in WIDTHS:
                    await opened.page.set_viewport_size({"width": width, "height": 900})
                    file = tmp_path / f"{name}-{width}-{scheme}.png"
                    picture = await opened.page.screenshot(path=file, full_page=width < 900)

                    assert await opened.overflow() <= 0, file.name
                    assert len(picture) > 5_000, file.name
                assert await opened.page.title() != "obeyed"

    light, dark = set(backgrounds[: len(PAGES)]), set(backgrounds[len(PAGES) :])
    assert len(light) == len(dark) == 1
    assert light != dark


async def test_keys_step_through_a_life(inspector: Inspector) -> None:
    """The state changes with each step, and the address with it, so that it can be told to somebody."""
    async with browser(inspector) as opened:
        await opened.open("actor?id=Diary/busy&at=60")
        for key, number in (("ArrowLeft", 59), ("ArrowRight", 60), ("End", 130), ("Home", 1), ("ArrowRight", 2)):
            await opened.page.keyboard.press(key)
            await opened.shows(f"Event {number} of 130")

        assert opened.page.url.endswith("&at=2")
        state = await opened.page.inner_text(".state .lines")
        assert re.findall(r"entry \d+", state) == ["entry 0", "entry 1", "entry 1"]


async def test_the_slider_and_the_bars_go_to_an_event(inspector: Inspector) -> None:
    async with browser(inspector) as opened:
        await opened.open("actor?id=Diary/busy")
        await opened.page.fill("#place", "77")
        await opened.shows("Event 77 of 130")
        await opened.page.locator(".strip a").nth(11).click()
        await opened.shows("Event 12 of 130")

        assert await opened.page.input_value("#place") == "12"


async def test_a_slash_searches(inspector: Inspector) -> None:
    """And where one writes, it is a slash."""
    async with browser(inspector) as opened:
        await opened.page.keyboard.press("/")
        await opened.page.keyboard.type("Diary/bu")
        await opened.page.keyboard.press("Enter")
        await opened.page.wait_for_url("**/?q=*")

        assert await opened.page.locator("a.row .id").all_inner_texts() == ["Diary/busy"]


async def test_what_has_the_focus_is_seen(inspector: Inspector) -> None:
    async with browser(inspector) as opened:
        for _ in range(6):
            await opened.page.keyboard.press("Tab")
            outline = await opened.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

            assert outline != "none"


async def test_the_theme_is_kept(inspector: Inspector) -> None:
    async with browser(inspector) as opened:
        light = await opened.background()
        await opened.page.click("#theme")
        dark = await opened.background()
        await opened.open("live")

        assert light != dark == await opened.background()


async def test_what_is_stored_comes_live(inspector: Inspector) -> None:
    """To the page of all events, and to that of an actor that is followed."""
    async with browser(inspector) as opened:
        await opened.open("live")
        await opened.shows("listening", "#status")
        async with ActorSystem(store=inspector.store) as system:
            await system.ref(Diary, "lively").ask(Say(HOSTILE))
            await opened.shows("Diary/lively", "#events")
            await opened.open("actor?id=Diary/lively")
            await opened.page.check("#follow")
            await system.ref(Diary, "lively").ask(Say("and more"))

            await opened.shows("Event 2 of 2")
