"""What a URL says, what is wrong with it, and how RocksDB is set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.abc import MachineProfile, MachineSpec
from perdure.errors import CreateStoreError
from perdure_rocksdb._settings import Settings
from perdure_rocksdb._tuning import Sizes


def settings_of(url: str) -> Settings:
    return Settings.of_url(url, "full", MachineSpec(2048, 2))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("rocksdb:///bank", "bank"),
        ("rocksdb:///data/bank", "data/bank"),
        ("rocksdb:///../bank", "../bank"),
        ("rocksdb:////var/lib/bank", "/var/lib/bank"),
        ("rocksdb:///my%20bank%23%3F", "my bank#?"),
        ("rocksdb:///b%C3%A4nk", "bänk"),
        ("rocksdb:///bänk", "bänk"),
    ],
)
def test_a_url_names_a_folder(url: str, path: str) -> None:
    """Three slashes begin a relative path, four an absolute one; escapes are what they stand for."""
    assert settings_of(url).path == Path(path)


def test_options_have_defaults() -> None:
    """Without options a store is written, and its log has to be whole."""
    settings = settings_of("rocksdb:///bank")

    assert (settings.mode, settings.wal) == ("rw", "whole")


def test_options_are_read() -> None:
    """Options of the URL choose the mode, and what to do about a damaged log."""
    settings = settings_of("rocksdb:///bank?mode=ro&wal=cut")

    assert (settings.mode, settings.wal) == ("ro", "cut")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("rocksdb://", "names no folder"),
        ("rocksdb:///", "names no folder"),
        ("rocksdb://bank", "names no folder"),
        ("rocksdb://host/bank", "names no folder"),
        ("rocksdb:///a%00b", "names no folder"),
        ("rocksdb:///bank#1", "%23 for '#'"),
        ("rocksdb:///bank\n1", "%0A for"),
        ("rocksdb:///bank?readers=1", "unknown options ['readers']; there are mode and wal"),
        ("rocksdb:///bank?.d", "unknown options ['.d']"),
        ("rocksdb:///bank?mode=", "mode is rw or ro, not ''"),
        ("rocksdb:///bank?mode=readonly", "mode is rw or ro, not 'readonly'"),
        ("rocksdb:///bank?wal=1", "wal is whole or cut, not '1'"),
    ],
)
def test_a_mistake_in_a_url_is_named(url: str, reason: str) -> None:
    """A URL that names no folder, or an option that does not exist or cannot be, is refused with the reason."""
    with pytest.raises(CreateStoreError) as caught:
        settings_of(url)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "cache_mib", "buffers_mib", "jobs"),
    [
        (MachineProfile.NANO, 10, 10, 2),
        (MachineProfile.SMALL, 40, 40, 2),
        (MachineProfile.MEDIUM, 81, 81, 2),
        (MachineProfile.XXLARGE, 655, 256, 8),
    ],
)
def test_sizes_follow_the_machine(profile: MachineProfile, cache_mib: int, buffers_mib: int, jobs: int) -> None:
    """Cache and write buffers are 2 % of memory each, within limits; RocksDB's threads are as many as cores."""
    sizes = Sizes.of(MachineSpec.of(profile))

    assert (sizes.block_cache >> 20, sizes.write_buffers >> 20, sizes.jobs) == (cache_mib, buffers_mib, jobs)
