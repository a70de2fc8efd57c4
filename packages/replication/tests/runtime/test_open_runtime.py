"""How a name finds a runtime."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from perdure.errors import BrokenPlugin, UnknownBackend
from perdure_replication.errors import InvalidRuntime
from perdure_replication.runtime import PerdureRuntime, open_runtime

pytestmark = pytest.mark.usefixtures("entry_points")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a distribution with a runtime of some name."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, value: str) -> None:
        info = tmp_path / f"somebody_{name}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: somebody_{name}\nVersion: 1.2.3\n")
        (info / "entry_points.txt").write_text(f"[perdure.runtimes]\n{name} = {value}\n")
        importlib.invalidate_caches()

    return install


async def test_a_name_finds_a_runtime() -> None:
    async with open_runtime("perdure") as own, open_runtime("pykka") as pykka:
        refs = [await each.spawn("double", lambda number: 2 * number) for each in (own, pykka)]

        assert isinstance(own, PerdureRuntime)
        assert [await ref.ask(4) for ref in refs] == [8, 8]


def test_an_unknown_name_says_what_is_installed() -> None:
    with pytest.raises(UnknownBackend, match=r"no runtime for 'kameo'; installed: perdure, pykka"):
        open_runtime("kameo")


def test_a_runtime_that_fails_is_named(install: Callable[[str, str], None]) -> None:
    """With its distribution, and only for who asks for it."""
    install("broken", "nowhere_at_all:Runtime")

    with pytest.raises(BrokenPlugin, match=r"the runtime 'broken' of distribution somebody_broken 1\.2\.3"):
        open_runtime("broken")


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "pykka"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "perdure_replication.runtime._pykka", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Without("pykka"), *sys.meta_path])

    with pytest.raises(InvalidRuntime, match=r"pip install perdure-replication\[pykka\]"):
        open_runtime("pykka")


class _Without:
    """Finds one module missing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


async def test_a_coroutine_function_is_refused_where_nobody_awaits() -> None:
    async def handler(message: object) -> None: ...

    async with open_runtime("pykka") as runtime:
        with pytest.raises(InvalidRuntime, match="'a' is a coroutine function: write a plain one"):
            await runtime.spawn("a", handler)


async def test_message_types_that_cannot_be_encoded_are_refused() -> None:
    """And two of one name, for the name goes with a message."""
    one, other = msgspec.defstruct("Same", ["number"]), msgspec.defstruct("Same", ["text"])
    broken = msgspec.defstruct("Broken", [("number", list[int] | set[int])])

    with pytest.raises(InvalidRuntime, match="the message type _Without is no msgspec struct, and no dataclass"):
        open_runtime("perdure", messages=[_Without])
    with pytest.raises(InvalidRuntime, match="messages of the type Broken cannot be encoded"):
        open_runtime("perdure", messages=[broken])
    with pytest.raises(InvalidRuntime, match="two message types are named Same"):
        open_runtime("perdure", messages=[one, other])
