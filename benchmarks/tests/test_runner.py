"""The command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_a_run_prints_the_disk_first_and_writes_its_figures_as_json(tmp_path: Path) -> None:
    run = bench("--only", "handles", "--quick", "--json", "figures.json", folder=tmp_path)

    assert run.returncode == 0, run.stderr
    assert run.stdout.index("fdatasync") < run.stdout.index("file descriptors")
    sections = json.loads((tmp_path / "figures.json").read_bytes())["sections"]
    assert list(sections) == ["machine", "handles"]


def test_a_run_leaves_no_files_behind(tmp_path: Path) -> None:
    bench("--only", "handles", "--quick", folder=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_section_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    run = bench("--only", "speed", folder=tmp_path)

    assert run.returncode == 2
    assert "throughput" in run.stderr


def test_what_fails_in_a_section_fails_the_run(tmp_path: Path) -> None:
    run = bench("--only", "handles", "--quick", "--dir", "no-such-folder", folder=tmp_path)

    assert run.returncode != 0
