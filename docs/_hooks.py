"""What the pages need to be a site: all decisions in its navigation, and no links that leave this folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_OUTSIDE = re.compile(r"\[([^]]+)\]\((?:\.\./)+(?!decisions/)([^)#]+)(?:#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Add the decisions, in their order, behind all else."""
    folder = Path(config.docs_dir)
    decisions = [str(page.relative_to(folder)) for page in sorted(folder.glob("decisions/*.md"))]
    config.nav.append({"Decisions": decisions})
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page in which a link to a file of the repository is its text and the file's path."""
    return _OUTSIDE.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    text, path = link.groups()
    return text if path in text else f"{text} (`{path}`)"
