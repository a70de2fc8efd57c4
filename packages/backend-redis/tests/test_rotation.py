"""Keys that rotate and subjects that are forgotten while the process is killed. It is real, and so is the SIGKILL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perdure_testkit import check_rotation


async def test_kills_between_rotations_and_forgetting_lose_nothing(server: Any, tmp_path: Path) -> None:
    """What was acknowledged is there once, the forgotten stay forgotten, and old keys are not needed (GAP-17, 18)."""
    await check_rotation(server.url, tmp_path)
