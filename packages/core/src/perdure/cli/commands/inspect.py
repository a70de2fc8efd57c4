"""`perdure inspect`: a page on which to look at a store."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli._options import Keys, SnapshotsUrl, Url
from perdure.cli._stores import opened, opened_snapshots
from perdure.cli._types import persistent_actor_type
from perdure.cli._use import WrongUse


async def inspect(
    url: Url,
    keys: Keys,
    type: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="MODULE:CLASS", help="An actor type whose states to show. May be repeated."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address on which to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; by default one that is free.")] = 0,
    snapshots: SnapshotsUrl = None,
) -> None:
    """Serve a page on which to look at actors, their events and their states, until Ctrl-C.

    It is for reading only. Open the address that is printed: it has the token without which nobody is answered. What is
    sealed is shown as such, unless keys are given.
    """
    try:
        from perdure.inspector import serve
    except ModuleNotFoundError as error:
        raise WrongUse(f"{error.name} is not installed. Run: pip install 'perdure[inspect]'") from None
    types = [persistent_actor_type(name) for name in type or ()]
    async with opened(url) as store, opened_snapshots(snapshots) as shelf:
        sealing = None if keys.keyring() is None else await keys.sealing(store.backend)
        await serve(
            store.backend, types, announce=_say, host=host, port=port, sealing=sealing, snapshots=shelf, url=url
        )


def _say(address: str) -> None:
    """Print where to look, and nothing else."""
    print(address, flush=True)
