"""The fields of log records, as the sources write them and as the documentation lists them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import perdure
import perdure_replication
from perdure import _fields
from perdure_replication import _fields as _replication_fields

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"


@pytest.mark.parametrize("package", [perdure, perdure_replication], ids=lambda package: package.__name__)
def test_every_log_call_carries_fields(package: ModuleType) -> None:
    """And none but those of `fields`, whose names a test holds to the documentation."""
    sources = Path(inspect.getfile(package)).parent
    bare = [
        f"{path.relative_to(sources)}:{call.lineno}"
        for path in sources.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func.value) == "_log"
        and call.func.attr != "isEnabledFor"
        and "extra" not in {keyword.arg for keyword in call.keywords}
    ]

    assert bare == []


def test_every_field_is_documented() -> None:
    """Those of perdure in the first table, and no other name there; those of replication somewhere in the section."""
    section = PAGE.read_text().partition("## Logs")[2].partition("\n## ")[0]

    assert listed(section.partition("```")[0]) == names(_fields.fields)
    assert names(_replication_fields.fields) <= listed(section)


def names(fields: Callable[..., dict[str, object]]) -> set[str]:
    """Return the names of all fields."""
    return set(
        fields(**{name: ValueError() if name == "error" else 1 for name in inspect.signature(fields).parameters})
    )


def listed(text: str) -> set[str]:
    """Return the names in the tables of a page."""
    return set(re.findall(r"^\| `([a-z_.]+)`", text, re.MULTILINE))
