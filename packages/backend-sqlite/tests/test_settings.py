"""What a URL says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.abc import MachineProfile, MachineSpec
from perdure.errors import CreateStoreError
from perdure_sqlite._settings import Settings


def settings_of(url: str) -> Settings:
    return Settings.of_url(url, "full", MachineSpec(2048, 2))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///bank.db", "bank.db"),
        ("sqlite:///data/bank.db", "data/bank.db"),
        ("sqlite:///../bank.db", "../bank.db"),
        ("sqlite:////var/lib/bank.db", "/var/lib/bank.db"),
        ("sqlite:///my%20bank%23%3F.db", "my bank#?.db"),
        ("sqlite:///b%C3%A4nk.db", "bänk.db"),
        ("sqlite:///bänk.db", "bänk.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    """Three slashes begin a relative path, four an absolute one; escapes are what they stand for."""
    assert settings_of(url).path == Path(path)


def test_options_have_defaults() -> None:
    """Without options a busy writer is waited for five seconds, and two threads read."""
    settings = settings_of("sqlite:///bank.db")

    assert (settings.busy_timeout, settings.readers) == (5.0, 2)


def test_options_are_read() -> None:
    """Options of the URL set the busy timeout and the number of readers."""
    settings = settings_of("sqlite:///bank.db?busy_timeout=0.25&readers=7")

    assert (settings.busy_timeout, settings.readers) == (0.25, 7)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://bank.db", "names no file"),
        ("sqlite://host/bank.db", "names no file"),
        ("sqlite:///a%00b.db", "names no file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///bank#1.db", "%23 for '#'"),
        ("sqlite:///bank\n1.db", "%0A for"),
        ("sqlite:///bank.db?busy=1", "unknown options ['busy']"),
        ("sqlite:///bank?.db", "unknown options ['.db']"),
        ("sqlite:///bank.db?busy_timeout=soon", "could not convert string to float: 'soon'"),
        ("sqlite:///bank.db?busy_timeout=-1", "0 to 3600"),
        ("sqlite:///bank.db?busy_timeout=nan", "0 to 3600"),
        ("sqlite:///bank.db?busy_timeout=", "could not convert"),
        ("sqlite:///bank.db?readers=0", "1 to 64"),
        ("sqlite:///bank.db?readers=65", "1 to 64"),
        ("sqlite:///bank.db?readers=1.5", "'1.5'"),
    ],
)
def test_a_mistake_in_a_url_is_named(url: str, reason: str) -> None:
    """A URL that names no file, or an option that does not exist or cannot be, is refused with the reason (ATS-27)."""
    with pytest.raises(CreateStoreError) as caught:
        settings_of(url)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "cache_kib", "map_mib"),
    [
        (MachineProfile.NANO, 10 * 1024, 5),
        (MachineProfile.SMALL, 40 * 1024, 20),
        (MachineProfile.MEDIUM, 81 * 1024, 40),
        (MachineProfile.XXLARGE, 655 * 1024, 128),
    ],
)
def test_caches_follow_the_machine(profile: MachineProfile, cache_kib: int, map_mib: int) -> None:
    """The cache is 2 % of memory, and the rest goes by it within limits."""
    settings = Settings(path=Path("bank.db"), machine=MachineSpec.of(profile))

    values = dict(pragma.removeprefix("PRAGMA ").split(" = ") for pragma in settings.pragmas())

    assert int(values["cache_size"]) == -cache_kib
    assert int(values["mmap_size"]) >> 20 == map_mib
