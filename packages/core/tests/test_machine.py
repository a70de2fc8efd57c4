"""How big a machine is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perdure import MachineProfile, MachineSpec


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def machine(root: Path, **files: str) -> MachineSpec:
    """Detect the machine whose files these are, with `_` for a space in their short names."""
    places = {
        "meminfo": "proc/meminfo",
        "memory_max": "sys/fs/cgroup/memory.max",
        "cpu_max": "sys/fs/cgroup/cpu.max",
        "memory_limit": "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "cpu_quota": "sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "cpu_period": "sys/fs/cgroup/cpu/cpu.cfs_period_us",
    }
    files.setdefault("meminfo", "MemTotal:       33554432 kB\nMemFree:         1000 kB\n")
    for name, text in files.items():
        path = root / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return MachineSpec.detect(root)


@pytest.mark.parametrize(
    ("label", "cores", "ram_mb"),
    [
        ("nano", 2, 512),
        ("micro", 2, 1024),
        ("small", 2, 2048),
        ("medium", 2, 4096),
        ("large", 2, 8192),
        ("xlarge", 4, 16384),
        ("2xlarge", 8, 32768),
    ],
)
def test_a_profile_is_a_size(label: str, cores: int, ram_mb: int) -> None:
    """Each label names a number of cores and MiB of memory."""
    assert MachineSpec.of(label) == MachineSpec(ram_mb, cores)


@pytest.mark.parametrize("profile", MachineProfile)
def test_a_profile_and_its_label_are_one(profile: MachineProfile) -> None:
    """A profile and its label give the same size."""
    assert MachineSpec.of(profile) == MachineSpec.of(profile.label)


def test_a_size_of_ones_own_is_kept() -> None:
    """A machine that is given in numbers stays as it is."""
    assert MachineSpec.of(MachineSpec(777, 3)) == MachineSpec(777, 3)


def test_no_size_is_this_machine() -> None:
    """Without a size the machine is detected."""
    assert MachineSpec.of(None) == MachineSpec.detect()


@pytest.mark.parametrize("label", ["huge", "NANO", "xxlarge", ""])
def test_an_unknown_profile_names_the_others(label: str) -> None:
    """A label that is no profile is refused with those that are."""
    with pytest.raises(ValueError, match=f"no machine profile '{label}'; there are nano, .* 2xlarge"):
        MachineSpec.of(label)


@pytest.mark.parametrize(("ram_mb", "cores"), [(0, 1), (1, 0), (-5, 2), (512, -1)])
def test_a_machine_has_memory_and_a_core(ram_mb: int, cores: int) -> None:
    """A size without memory or without a core is refused."""
    with pytest.raises(ValueError, match="at least 1 MiB and 1 core"):
        MachineSpec(ram_mb, cores)


def test_without_control_groups_it_is_the_whole_machine(tmp_path: Path) -> None:
    """Without control groups the size is the memory and the cores of the machine."""
    assert machine(tmp_path) == MachineSpec(32768, 16)


def test_without_any_file_there_is_a_default(tmp_path: Path) -> None:
    """Where nothing can be read the memory is taken for 4096 MiB."""
    assert MachineSpec.detect(tmp_path) == MachineSpec(4096, 16)


def test_version_2_limits_are_honoured(tmp_path: Path) -> None:
    """Limits of control groups of version 2 take the place of the machine's size."""
    assert machine(tmp_path, memory_max="1073741824\n", cpu_max="200000 100000\n") == MachineSpec(1024, 2)


def test_version_1_limits_are_honoured(tmp_path: Path) -> None:
    """Limits of control groups of version 1 take the place of the machine's size."""
    spec = machine(tmp_path, memory_limit="536870912\n", cpu_quota="300000\n", cpu_period="100000\n")

    assert spec == MachineSpec(512, 3)


def test_part_of_a_core_is_a_core(tmp_path: Path) -> None:
    """A quota is rounded up: half a core is one, one and a half are two."""
    assert machine(tmp_path, cpu_max="50000 100000").cpu_cores == 1
    assert machine(tmp_path, cpu_max="150000 100000").cpu_cores == 2


@pytest.mark.parametrize(
    "files",
    [
        {"memory_max": "max\n", "cpu_max": "max 100000\n"},
        {"memory_limit": "9223372036854771712\n", "cpu_quota": "-1\n", "cpu_period": "100000\n"},
        {"memory_max": "", "cpu_max": ""},
        {"memory_max": "nonsense", "cpu_max": "non sense"},
        {"memory_max": "0", "cpu_max": "0 0"},
        {"memory_max": "²", "cpu_max": "¹ ²"},
        {"cpu_max": "100000"},
    ],
)
def test_no_limit_is_no_limit(tmp_path: Path, files: dict[str, str]) -> None:
    """Limits that say `max` or -1, that are huge, or that make no sense do not count."""
    assert machine(tmp_path, **files) == MachineSpec(32768, 16)


def test_a_limit_above_the_machine_does_not_count(tmp_path: Path) -> None:
    """A limit above what the machine has gives what the machine has."""
    assert machine(tmp_path, memory_max=f"{1 << 50}", cpu_max="9900000 100000") == MachineSpec(32768, 16)


def test_a_tiny_limit_leaves_a_machine(tmp_path: Path) -> None:
    """However small the limits, a MiB and a core are left."""
    assert machine(tmp_path, memory_max="4096", cpu_max="1 100000") == MachineSpec(1, 1)
