"""The READMEs' programs do what the READMEs say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(readme: Path) -> str:
    """Return the first Python program of a README."""
    match = re.search(r"```python\n(import asyncio\n.*?)```", readme.read_text(), re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.parametrize("readme", ["README.md", "packages/core/README.md"])
def test_the_balance_is_there_again_at_the_second_run(readme: str, tmp_path: Path) -> None:
    script = tmp_path / "bank.py"
    script.write_text(program(ROOT / readme))

    runs = [
        subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]

    assert [(run.stdout, run.stderr) for run in runs] == [("10\n", ""), ("20\n", "")]
