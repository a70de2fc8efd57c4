"""How big the machine is, so that backends can size their caches.

The profiles are those of the reference system; detection honours the limits of control groups, version 1 and 2.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 1024 * 1024
_UNLIMITED = 1 << 60  # version 1 of control groups writes a huge number for "no limit"
_FALLBACK_MB = 4096


class MachineProfile(Enum):
    """Named machine sizes: virtual CPUs and MiB of memory."""

    NANO = (2, 512)
    MICRO = (2, 1024)
    SMALL = (2, 2048)
    MEDIUM = (2, 4096)
    LARGE = (2, 8192)
    XLARGE = (4, 16384)
    XXLARGE = (8, 32768)

    @property
    def label(self) -> str:
        """The name in configuration: `nano` to `xlarge`, and `2xlarge`."""
        return "2xlarge" if self is MachineProfile.XXLARGE else self.name.lower()


class MachineSpec(msgspec.Struct, frozen=True):
    """The whole machine, of which a backend takes a fraction: memory in MiB and CPU cores."""

    ram_mb: int
    cpu_cores: int

    def __post_init__(self) -> None:
        if self.ram_mb < 1 or self.cpu_cores < 1:
            raise ValueError(f"a machine has at least 1 MiB and 1 core, not {self.ram_mb} and {self.cpu_cores}")

    @classmethod
    def of(cls, size: MachineSpec | MachineProfile | str | None) -> MachineSpec:
        """Return the spec of a profile, of a profile's label, or, for None, of this machine."""
        if isinstance(size, MachineSpec):
            return size
        if size is None:
            return cls.detect()
        if isinstance(size, str):
            size = _profile(size)
        cores, ram_mb = size.value
        return cls(ram_mb, cores)

    @classmethod
    def detect(cls, root: Path | None = None) -> MachineSpec:
        """Return this machine's size: its memory and usable cores, or less where a control group allows less.

        `root` is where its file systems `proc` and `sys` are, by default `/`.
        """
        from pathlib import Path  # takes 4 ms, and only who opens a store needs it

        root = root or Path("/")
        ram = min(_total_ram(root), _memory_limit(root))
        cores = min(_usable_cores(), _cpu_limit(root))
        return cls(max(1, ram // _MIB), max(1, cores))


def _profile(label: str) -> MachineProfile:
    for profile in MachineProfile:
        if profile.label == label:
            return profile
    raise ValueError(f"no machine profile {label!r}; there are {', '.join(p.label for p in MachineProfile)}")


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _total_ram(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return _FALLBACK_MB * _MIB


def _memory_limit(root: Path) -> int:
    groups = root / "sys/fs/cgroup"
    limits = [_number(_read(groups / "memory.max")), _number(_read(groups / "memory/memory.limit_in_bytes"))]
    return min(limit or _UNLIMITED for limit in limits)


def _cpu_limit(root: Path) -> int:
    """Return the cores of a quota, rounded up, by version 2 and then version 1 of control groups."""
    groups = root / "sys/fs/cgroup"
    quota, _, period = _read(groups / "cpu.max").partition(" ")
    if not quota:
        quota = _read(groups / "cpu/cpu.cfs_quota_us")
        period = _read(groups / "cpu/cpu.cfs_period_us")
    allowed, span = _number(quota), _number(period)
    return -(-allowed // span) if allowed and span else _UNLIMITED


def _number(text: str) -> int | None:
    """Return a positive number, or None for `max`, `-1`, nothing and nonsense."""
    text = text.strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
