"""The command as a whole: which commands there are, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, wraps
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from perdure._plugins import load_plugins
from perdure.cli import commands
from perdure.cli._console import say
from perdure.cli._options import with_keys
from perdure.cli._use import WrongUse
from perdure.errors import BrokenPlugin, InvalidIdentifier, KeyringError, PerdureError, UnknownBackend

_WRONG_USE = (InvalidIdentifier, KeyringError, UnknownBackend)
_FAILED = 3


class Commands(TyperGroup):
    """The commands of perdure and of plug-ins. Each is imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({*self._own, *self._plugged})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self._own:
            return _command_of(self._own[cmd_name], cmd_name)
        return self._plugged.get(cmd_name)

    @cached_property
    def _own(self) -> dict[str, str]:
        """The modules of the commands, by the commands' names."""
        return {module.name.rstrip("_"): module.name for module in pkgutil.iter_modules(commands.__path__)}

    @cached_property
    def _plugged(self) -> dict[str, Any]:
        """The commands of plug-ins. Those that cannot be used are named on standard error."""
        found: dict[str, Any] = {}
        plugins, broken = load_plugins()
        for name, plugin in plugins.items():
            try:
                found |= _commands_of(plugin.hook.perdure_commands, {*self._own, *found})
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                broken.append(BrokenPlugin(name, plugin.distribution, reason, "plug-in"))
        for problem in broken:
            say(problem)
        return found


app = typer.Typer(cls=Commands, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"perdure {version('perdure')}")
        raise typer.Exit


@app.callback()
def perdure(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Look into the stores of durable actors, check, move and repair them.

    A URL names a store: sqlite:///bank.db, rocksdb:///bank, redis://localhost:6379.
    """


def run(arguments: Sequence[str] | None) -> int:
    """Run the command, and return its exit code. Whatever goes wrong is one line on standard error."""
    with _plain_streams(), _plain_warnings():
        try:
            code: object = typer.main.get_command(app).main(
                args=None if arguments is None else list(arguments), prog_name="perdure", standalone_mode=False
            )
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except BrokenPipeError:
            return _hang_up()
        except SystemExit as end:  # as of typer, when it has completed a command for a shell
            return end.code if isinstance(end.code, int) else 0
        except (KeyboardInterrupt, typer.Abort):  # the second at a question that a plug-in asks
            return 130
        except WrongUse as error:
            say(error.message)
            return error.exit_code
        except typer.TyperException as error:
            say(f"{error.format_message().rstrip('.')}. See '{_path_of(error)} --help'")
            return 2
        except PerdureError as error:
            say(error)
            return 2 if isinstance(error, _WRONG_USE) else _FAILED
        except ValueError as error:  # by which the library refuses what it is given
            say(error)
            return 2
        except OSError as error:
            say(f"{error.strerror}: {error.filename}" if error.strerror and error.filename else error)
            return _FAILED
        except Exception:
            traceback.print_exc()  # it is perdure's mistake, and no user's
            return _FAILED


def _command_of(module: str, name: str) -> Any:
    """Return the command of a module of ours."""
    function: Callable[..., Any] = getattr(importlib.import_module(f"{commands.__name__}.{module}"), module)
    one = typer.Typer(rich_markup_mode=None, add_completion=False)
    one.command(name)(_runnable(function))
    return typer.main.get_command(one)


def _commands_of(add: Callable[..., object], taken: set[str]) -> dict[str, Any]:
    """Return the commands that a plug-in adds. Raises `ValueError` for a name that is taken."""
    several = typer.Typer(rich_markup_mode=None, add_completion=False)
    several.callback()(lambda: None)
    add(app=several)
    for info in several.registered_commands:
        info.callback = _runnable(info.callback) if info.callback is not None else None
    found: dict[str, Any] = typer.main.get_group(several).commands  # type: ignore[assignment]
    if both := sorted(taken & found.keys()):
        raise ValueError(f"the command {both[0]!r} is there already: give its own another name")
    return found


def _path_of(error: typer.TyperException) -> str:
    """Return the command that was used wrongly."""
    path: str = getattr(getattr(error, "ctx", None), "command_path", "perdure")
    return path


def _runnable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that typer can call for a command."""
    function = with_keys(function)

    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
            return asyncio.run(result) if inspect.iscoroutine(result) else result
        except BrokenPipeError:  # which typer would take for a failure
            return _hang_up()

    return command


def _hang_up() -> int:
    """Have nothing more written to a pipe that was closed, for whoever reads it has had enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextmanager
def _plain_streams() -> Iterator[None]:
    """Have streams that take any text: what they cannot say is escaped, and one that is closed takes it nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show warnings, and what the library logs as such, as lines on standard error."""
    log, lines = logging.getLogger("perdure"), _Lines(logging.WARNING)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"warning: {message}")
        log.addHandler(lines)
        try:
            yield
        finally:
            log.removeHandler(lines)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"warning: {record.getMessage()}")
