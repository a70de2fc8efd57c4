"""How a URL finds its backend."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from perdure import MachineSpec, open_backend
from perdure._plugins import _OURS, installed_backends
from perdure.errors import BrokenPlugin, CreateStoreError, StoreMissing, UnknownBackend
from perdure.memory import MemoryBackend

Install: TypeAlias = Callable[[str, str], None]
"""Takes a scheme and the source of the module that serves it."""

WORKING = """
import pluggy
from perdure.memory import MemoryBackend

asked = []

@pluggy.HookimplMarker("perdure")
async def perdure_open(url, durability, machine):
    asked.append((url, durability, machine))
    return MemoryBackend(durability=durability)
"""

LOOKING = """
@pluggy.HookimplMarker("perdure")
async def perdure_missing(url):
    return "the shelf" if url.endswith("missing") else None
"""


@pytest.fixture
def install(distribute: Callable[[str, str, str, str], None]) -> Install:
    """Install a plug-in for a scheme: the distribution `perdure-SCHEME` 1.2.3 with the module `SCHEME_plugin`."""
    return lambda scheme, source: distribute(f"perdure-{scheme}", "perdure.backends", scheme, source)


async def test_the_memory_backend_enters_by_the_same_door() -> None:
    """The built-in backend is an entry point like all others (ATS-79)."""
    assert installed_backends()["memory"].value == "perdure.memory"
    assert isinstance(await open_backend("memory://"), MemoryBackend)


async def test_a_plugin_is_found_by_its_scheme(install: Install) -> None:
    """A distribution with an entry point serves URLs of its scheme, and is given all that was asked for (ATS-79)."""
    install("shelf", WORKING)

    backend = await open_backend("shelf://host/path?option=1", durability="relaxed", machine="nano")

    assert backend.durability == "relaxed"
    asked = sys.modules["shelf_plugin"].asked
    assert asked == [("shelf://host/path?option=1", "relaxed", MachineSpec(512, 2))]


async def test_a_scheme_that_two_distributions_claim_is_opened_by_neither(install: Install, tmp_path: Path) -> None:
    """Which one would serve it is chance, so both are named."""
    install("shelf", WORKING)
    rival = tmp_path / "rival-3.0.dist-info"
    rival.mkdir()
    (rival / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 3.0\n")
    (rival / "entry_points.txt").write_text("[perdure.backends]\nshelf = shelf_plugin\n")
    importlib.invalidate_caches()

    with pytest.raises(BrokenPlugin, match=r"perdure-shelf 1\.2\.3 and rival 3\.0.*remove one of them"):
        await open_backend("shelf://")


async def test_only_the_plugin_that_is_named_is_imported(install: Install) -> None:
    """Opening a URL imports no other plug-in than its own."""
    install("shelf", WORKING)
    install("drawer", "raise SystemExit('imported without being named')")

    await open_backend("shelf://")
    await open_backend("memory://")

    assert "drawer_plugin" not in sys.modules


async def test_looking_for_backends_imports_none(install: Install) -> None:
    """The installed backends can be listed without importing any."""
    install("shelf", "raise SystemExit('imported without being named')")

    assert {"memory", "shelf"} <= installed_backends().keys()
    assert "shelf_plugin" not in sys.modules


async def test_an_unknown_scheme_names_the_installed_ones(install: Install) -> None:
    """A scheme that nothing serves is refused with those that something does (ATS-79)."""
    install("shelf", WORKING)

    with pytest.raises(
        UnknownBackend, match=r"no backend for 'shelve'; installed: .*memory.*shelf.*spelled right"
    ) as caught:
        await open_backend("shelve://")

    assert (caught.value.scheme, "shelf" in caught.value.installed) == ("shelve", True)


@pytest.mark.parametrize(
    ("scheme", "package"),
    [
        ("rocksdb", "perdure-rocksdb"),
        ("redis", "perdure-redis"),
        ("rediss", "perdure-redis"),
        ("sqlite", "perdure-sqlite"),
    ],
)
async def test_a_known_scheme_names_its_package(scheme: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a backend of ours that is not installed the package to install is named."""
    monkeypatch.setattr("perdure._plugins._entry_points", lambda _: ())

    with pytest.raises(UnknownBackend, match=f"installed: none. Run: pip install {package}"):
        await open_backend(f"{scheme}:///store")


def test_each_extra_installs_the_package_that_the_error_names() -> None:
    """`perdure[SCHEME]` is a backend of ours, and `perdure[all]` is all of them."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    ours = {scheme: package for scheme, package in _OURS.items() if scheme != "rediss"}

    for scheme, package in ours.items():
        assert extras[scheme] == [package]
        assert package in extras["all"]


async def test_who_makes_no_store_is_told_that_there_is_none(install: Install) -> None:
    """A plug-in that can tell is asked before the store is opened, and names the place without secrets."""
    install("shelf", f"{WORKING}\n{LOOKING}")

    with pytest.raises(StoreMissing, match="there is no store at the shelf; nothing was made") as caught:
        await open_backend("shelf://user:password@missing", create=False)

    assert (caught.value.place, sys.modules["shelf_plugin"].asked) == ("the shelf", [])


async def test_who_makes_no_store_opens_one_that_is_there(install: Install) -> None:
    """Whether its plug-in says so, or has never heard of the question."""
    install("shelf", f"{WORKING}\n{LOOKING}")
    install("drawer", WORKING)

    await open_backend("shelf://there", create=False)
    await open_backend("drawer://anything", create=False)
    await open_backend("shelf://missing")


@pytest.mark.parametrize("url", ["", "bank.db", "/var/lib/bank.db", "sqlite:bank.db", "memory:"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    """A text without a scheme is refused with an example of what to write."""
    with pytest.raises(CreateStoreError, match=r"is no URL; write for example sqlite:///bank\.db"):
        await open_backend(url)


async def test_durability_is_full_or_relaxed() -> None:
    """There is no third durability."""
    with pytest.raises(ValueError, match="'full' or 'relaxed', not 'none'"):
        await open_backend("memory://", durability="none")  # type: ignore[arg-type]


async def test_a_machine_that_makes_no_sense_is_refused() -> None:
    """A machine profile that does not exist is refused."""
    with pytest.raises(ValueError, match="no machine profile 'huge'"):
        await open_backend("memory://", machine="huge")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError"),
        ("", "shelf_plugin implements no perdure_open hook"),
        ("async def perdure_open(url, durability, machine): ...", "implements no perdure_open hook"),
        (WORKING.replace("perdure_open", "perdure_opne"), "perdure_opne"),
        (WORKING.replace("machine):", "machine, more):"), "more"),
        (WORKING.replace("async def", "def").replace("return", "return None #"), "implements no perdure_open hook"),
    ],
    ids=["import", "error", "syntax", "no hook", "not marked", "misspelt", "signature", "returns nothing"],
)
async def test_a_broken_plugin_is_named(install: Install, source: str, reason: str) -> None:
    """A plug-in that cannot be used is named with its scheme, its distribution and the reason."""
    install("shelf", source)

    with pytest.raises(BrokenPlugin) as caught:
        await open_backend("shelf://")

    assert (caught.value.scheme, caught.value.distribution) == ("shelf", "perdure-shelf 1.2.3")
    assert reason in str(caught.value)


async def test_a_broken_plugin_harms_nobody_else(install: Install) -> None:
    """Beside a broken plug-in the others open, before and after it was asked for."""
    install("broken", "1 / 0")
    install("shelf", WORKING)

    await open_backend("shelf://")
    with pytest.raises(BrokenPlugin):
        await open_backend("broken://")

    await open_backend("shelf://")
    await open_backend("memory://")


async def test_an_entry_point_without_a_module_is_named(install: Install, tmp_path: Path) -> None:
    """A plug-in whose module is gone is named with its distribution."""
    install("shelf", "")
    (tmp_path / "shelf_plugin.py").unlink()

    with pytest.raises(BrokenPlugin, match=r"'shelf' of distribution perdure-shelf 1\.2\.3 .*No module named"):
        await open_backend("shelf://")


async def test_the_error_of_a_plugin_that_opens_is_its_own(install: Install) -> None:
    """What a working plug-in raises because its store cannot be opened comes through as it is."""
    failing = "from perdure.errors import CreateStoreError\n    raise CreateStoreError('open', 'no shelf')"
    install("shelf", WORKING.replace("asked.append((url, durability, machine))", failing))

    with pytest.raises(CreateStoreError, match="open: no shelf"):
        await open_backend("shelf://")
