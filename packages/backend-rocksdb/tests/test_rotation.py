"""Keys that rotate and subjects that are forgotten while the process is killed. It is real, and so is the SIGKILL."""

from __future__ import annotations

from pathlib import Path

from perdure_testkit import check_rotation


async def test_kills_between_rotations_and_forgetting_lose_nothing(tmp_path: Path) -> None:
    """What was acknowledged is there once, the forgotten stay forgotten, and old keys are not needed (GAP-17, 18)."""
    await check_rotation(f"rocksdb:///{tmp_path}/rotation", tmp_path)
