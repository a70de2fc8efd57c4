"""What docs/replication-redis.md says is what happens."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from perdure_replication.redis import RedisMembership, RedisTransport, _beats, _letters, _membership, _transport

PAGE = (Path(__file__).parents[4] / "docs" / "replication-redis.md").read_text()
[PROGRAM] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.usefixtures("entry_points")
async def test_two_nodes_see_each_other(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program does what it says."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": __name__}
    exec(PROGRAM, names)

    assert await names["main"](server.url) == "rome sees 7"


def test_the_page_names_all_reasons() -> None:
    """For which something is refused, by a look at the code."""
    table = PAGE[PAGE.index("| reason |") :]
    reasons = {
        node.args[0].value
        for module in (_beats, _letters, _membership, _transport)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and re.search(r"Refused$|refuse$", ast.unparse(node.func))
        if isinstance(node.args[0], ast.Constant)
    }

    assert reasons >= {"damaged", "forged", "replayed", "outdated"}
    assert reasons <= set(re.findall(r"`(\w+)`", table))


@pytest.mark.parametrize(
    "name", ["timeout", "window", "beat_interval", "unreachable_after", "forget_after", "max_frame_bytes"]
)
def test_the_page_knows_the_defaults(name: str) -> None:
    """Of times and sizes."""
    made = {**inspect.signature(RedisMembership).parameters, **inspect.signature(RedisTransport).parameters}
    default = made[name].default

    said = f"{default / 2**20:g} MiB" if name.endswith("bytes") else f"{default:g} s"
    assert f"`{name}` ({said})" in PAGE.replace("\n", " ")
