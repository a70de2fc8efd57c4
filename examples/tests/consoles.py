"""What a page shows of a terminal: its commands are run, and print what it says.

A block that begins with ```console has commands, each behind `$ `, with more lines of it behind `> `; what follows a
command is what a terminal shows in the end, without bars that went away. In that `...` stands for anything, also for
many lines.

All commands of a page run in one shell, so a variable stays set, and `echo $?` tells how the last one ended. They run
in an empty folder with the modules of the page: its Python blocks that begin with the name of their file. Where
the page says `redis://localhost:6379`, a server of the test's own is meant.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from examples.tests.preloaded import preloaded

SEPARATOR = "\x1e"
REDIS = "redis://localhost:6379"
_CONTROL = re.compile(r"\x1b\[\??([0-9;]*)([A-Za-z])|[\r\n]")


class Step(NamedTuple):
    """A command, the number of its line in the page, and what it prints."""

    line: int
    command: str
    expected: str


def steps(text: str) -> list[Step]:
    """Return the commands of a page, in order."""
    found: list[tuple[int, list[str], list[str]]] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append((number, [line[2:]], []))
        elif inside and f"{line} ".startswith("> ") and not found[-1][2]:
            found[-1][1].append(line[2:])
        elif inside:
            found[-1][2].append(line)
    return [Step(number, "\n".join(command), _trimmed("\n".join(lines))) for number, command, lines in found]


def outputs(commands: list[str], folder: Path, redis: str = REDIS) -> list[str]:
    """Run commands in one shell, in a terminal of 120 columns without colour; return what each prints."""
    script = "".join(f"{command}\n{_separate()}" for command in commands).replace(REDIS, redis)
    (folder / ".script").write_text(script)
    with preloaded(_programs(folder) / "perdure"):
        output = _ran(["bash", "--noprofile", "--norc", ".script"], folder)
    (folder / ".script").unlink()
    return [_trimmed(shown(piece).replace(redis, REDIS)) for piece in output.split(SEPARATOR)[:-1]]


def shown(output: str) -> str:
    """Return what is on a wide terminal after some output, without styles."""
    lines, row, column, place = [""], 0, 0, 0

    def put(text: str) -> None:
        line = lines[row].ljust(column)
        lines[row] = line[:column] + text + line[column + len(text) :]

    for control in _CONTROL.finditer(output):
        text = output[place : control.start()]
        put(text)
        column += len(text)
        place = control.end()
        match control[2] or control[0]:
            case "\r":
                column = 0
            case "\n":
                row += 1
                lines.extend([""] * (row - len(lines) + 1))
            case "A":
                row = max(0, row - int(control[1] or 1))
            case "K":
                lines[row] = "" if control[1] == "2" else lines[row][:column]
    put(output[place:])
    return "\n".join(lines)


def fits(output: str, expected: str) -> bool:
    """Tell whether a page says truly what a command prints."""
    pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, output, re.DOTALL) is not None


def _separate() -> str:
    """Return a command that ends the output of the last one, and ends as that did."""
    return f"_code=$?; printf '{SEPARATOR}'; (exit $_code)\n"


def _ran(command: list[str], folder: Path) -> str:
    """Run a command in a terminal, and return all that it writes to it."""
    reader, writer = pty.openpty()
    pieces: list[bytes] = []
    screen = threading.Thread(target=_drain, args=(reader, pieces))
    screen.start()
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            timeout=300,
            check=False,
        )
    finally:
        os.close(writer)
        screen.join(60)
        os.close(reader)
    return b"".join(pieces).decode()


def _programs(folder: Path) -> Path:
    """Return a folder of programs, in which `python` is that of this test."""
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    return programs


def _environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join((str(_programs(folder)), os.environ["PATH"]))
    quiet = "ignore:The configuration option"  # by which pytest-asyncio asks for a setting that no reader needs
    told = {"PATH": path, "COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1", "PYTHONWARNINGS": quiet}
    return {**os.environ, **told}


def _drain(descriptor: int, pieces: list[bytes]) -> None:
    try:
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    except OSError:  # so it ends on Linux
        return


def _trimmed(text: str) -> str:
    """Return text without blanks at the ends of its lines, and without blank lines around it."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
