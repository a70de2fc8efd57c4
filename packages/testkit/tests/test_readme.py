"""The code of the README is code that runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import ActorSystem

pytest_plugins = ["perdure_testkit.fixtures"]

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """Return the names that the section on actors defines."""
    section = README.partition("## An actor")[2]
    names: dict[str, Any] = {"__name__": __name__}
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.parametrize("name", re.findall(r"^async def (test_\w+)", README, re.MULTILINE))
async def test_what_the_readme_shows_passes(
    shown: dict[str, Any], name: str, actor_system: ActorSystem, restart_actors: Callable[[], Awaitable[ActorSystem]]
) -> None:
    """Each test that it shows passes, with the fixtures that it asks for."""
    fixtures = {"actor_system": actor_system, "restart_actors": restart_actors}
    wanted = inspect.signature(shown[name]).parameters

    await shown[name](**{name: fixtures[name] for name in wanted})
