"""The store of a test, by the URL that the command line gives."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4


def url_of(template: str, folder: Path) -> str:
    """Return the URL of a new store: `{tmp}` becomes the folder, `{unique}` a name that nothing has had."""
    return template.replace("{tmp}", str(folder)).replace("{unique}", uuid4().hex[:16])
