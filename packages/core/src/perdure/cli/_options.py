"""The arguments and options that commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_type_hints

import msgspec
import typer

from perdure.abc import Backend
from perdure.cli._formats import Form
from perdure.cli._use import WrongUse
from perdure.security import Keyring, Sealing, SuiteName, is_sealed_whole, sealing_as_stored

_KEYS = "Keys"
_MOST_DIGITS = 19

Url: TypeAlias = Annotated[str, typer.Argument(metavar="URL", help="The store, for example sqlite:///bank.db.")]
Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="A persistence id, for example Account/alice.")]
FormOption: TypeAlias = Annotated[Form, typer.Option("--format", "-f", help="What to print.")]
Limit: TypeAlias = Annotated[int | None, typer.Option(min=0, help="At most so many.")]
TypeName: TypeAlias = Annotated[
    str | None, typer.Option("--type", metavar="MODULE:CLASS", help="The actor type, for example bank:Account.")
]
TypeNames: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="MODULE:CLASS", help="An actor type with a sealing of its own. May be repeated."),
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SkipDamaged: TypeAlias = Annotated[
    bool, typer.Option("--skip-damaged", help="Leave out what is damaged, and list it, rather than stop.")
]
SnapshotsUrl: TypeAlias = Annotated[
    str | None, typer.Option("--snapshots", metavar="URL", help="Where snapshots are, if not in the store.")
]
ArchiveUrl: TypeAlias = Annotated[
    str | None, typer.Option("--archive", metavar="URL", help="Where archived events are, if not in the store.")
]

_File: TypeAlias = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="The key file, or folder, of a sealed store.")
]
_Variable: TypeAlias = Annotated[
    str | None, typer.Option("--keys-env", metavar="NAME", help="The environment variable that has the keys.")
]
_SealedAs: TypeAlias = Annotated[
    str, typer.Option("--sealed-as", metavar="NAME", help="The `store` of the sealing, where it has one.")
]
_Plaintext: TypeAlias = Annotated[bool, typer.Option("--accept-plaintext", help="Read also what is not sealed yet.")]


def moment(text: str) -> int | datetime:
    """Return the sequence number, or the time with its zone, that an option says. Raises `WrongUse`."""
    if text.isascii() and text.isdecimal():
        if len(text) > _MOST_DIGITS:
            raise WrongUse(f"no sequence number has {len(text)} digits")
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUse(f"{text!r} is neither a number nor a time like 2026-01-31T23:59:00Z") from None
    if time.tzinfo is None:
        raise WrongUse(f"the time {text} has no zone: write for example {text}Z")
    return time


class Keys(msgspec.Struct, frozen=True):
    """With what a store is sealed, as the options say it. A command that has such a parameter has these options."""

    file: Path | None = None
    variable: str | None = None
    sealed_as: str = ""
    plaintext: bool = False

    def keyring(self) -> Keyring | None:
        """Return the keys, None where none are given. Raises `KeyringError`."""
        if self.file is not None and self.variable is not None:
            raise WrongUse("give the keys by --keys or by --keys-env, not by both")
        if self.file is not None:
            return Keyring.from_file(self.file)
        return None if self.variable is None else Keyring.from_environment(self.variable)

    @property
    def given(self) -> bool:
        """True if there are any."""
        return self.file is not None or self.variable is not None

    async def sealing(
        self, backend: Backend, *, suite: SuiteName = "aes-256-gcm", chain: bool = False
    ) -> Sealing | None:
        """Return the sealing of an open store, and write nothing. Raises `WrongUse`, `KeyringError`."""
        keyring = self.keyring()
        sealed = await is_sealed_whole(backend)
        if keyring is None and sealed:
            raise WrongUse("the store is sealed: give its keys by --keys FILE or --keys-env NAME")
        if keyring is None:
            return None
        if not sealed:
            raise WrongUse("the store is not sealed: leave the keys out")
        until = datetime.max.replace(tzinfo=UTC) if self.plaintext else None
        return await sealing_as_stored(
            backend, keyring, store=self.sealed_as, suite=suite, chain=chain, plaintext_until=until
        )


def with_keys(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that has the options of keys in place of its parameter of the type `Keys`, if it has one."""
    hints = get_type_hints(function, include_extras=True)
    name = next((name for name, hint in hints.items() if hint is Keys), None)
    if name is None:
        return function

    @wraps(function)
    def command(
        *args: Any, keys: Path | None, keys_env: str | None, sealed_as: str, accept_plaintext: bool, **others: Any
    ) -> Any:
        return function(*args, **others, **{name: Keys(keys, keys_env, sealed_as, accept_plaintext)})

    signature = inspect.signature(function)
    own = [part.replace(annotation=hints[part.name]) for part in signature.parameters.values() if part.name != name]
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter("keys", keyword, default=None, annotation=_File),
        inspect.Parameter("keys_env", keyword, default=None, annotation=_Variable),
        inspect.Parameter("sealed_as", keyword, default="", annotation=_SealedAs),
        inspect.Parameter("accept_plaintext", keyword, default=False, annotation=_Plaintext),
    ]
    command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    command.__annotations__ = {part.name: part.annotation for part in [*own, *options]}
    return command
