"""`perdure forget`: destroying the key of a subject."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from perdure.cli._confirm import confirm
from perdure.cli._console import say
from perdure.cli._options import DryRun, Keys, Url, Yes
from perdure.cli._stores import opened
from perdure.cli._use import WrongUse
from perdure.upkeep import forget as forget_subject


def forget(
    url: Url,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Whose data it is, as the actors' `subject` says.")],
    keys: Keys,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Coroutine[Any, Any, int]:
    """Forget a subject: destroy its key, so that nobody can read again what was sealed with it.

    That cannot be undone but with a backup of the store. Systems that are at work know it within a minute. The exit
    code is 1 where the subject has no key.
    """
    if not keys.given:
        raise WrongUse("subjects are those of a sealed store: give its keys by --keys FILE or --keys-env NAME")
    if not dry_run:
        confirm(f"Destroy the key of {subject!r} for ever?", yes=yes)

    async def work() -> int:
        async with opened(url, keys) as store:
            assert store.sealing is not None
            had = await forget_subject(store.backend, store.sealing, subject, dry_run=dry_run)
        if had:
            say(f"the key of {subject!r} {'would be' if dry_run else 'was'} destroyed")
        else:
            say(f"{subject!r} has no key in this store")
        return 0 if had else 1

    return work()
