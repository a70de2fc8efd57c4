"""What a page shows of a terminal: its commands are run, and print what it says.

A block that begins with ```console has commands, each behind `$ `, with more lines of it behind `> `; what follows a
command is what it prints, errors after all else. In that `...` stands for anything, also for many lines.

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

SEPARATOR = "\x1e"
REDIS = "redis://localhost:6379"
_STYLES = re.compile(r"\x1b\[[0-9;]*m")


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
    output, error = _ran(["bash", "--noprofile", "--norc", ".script"], folder)
    (folder / ".script").unlink()
    pieces = zip(output.split(SEPARATOR), error.split(SEPARATOR), strict=True)
    return [_trimmed("\n".join(filter(None, map(_trimmed, piece))).replace(redis, REDIS)) for piece in pieces][:-1]


def fits(output: str, expected: str) -> bool:
    """Tell whether a page says truly what a command prints."""
    pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, output, re.DOTALL) is not None


def _separate() -> str:
    """Return a command that ends the output of the last one, and ends as that did."""
    return f"_code=$?; printf '{SEPARATOR}'; printf '{SEPARATOR}' >&2; (exit $_code)\n"


def _ran(command: list[str], folder: Path) -> tuple[str, str]:
    """Run a command with a terminal for its output and a pipe for its errors, and return both."""
    reader, writer = pty.openpty()
    pieces: list[bytes] = []
    screen = threading.Thread(target=_drain, args=(reader, pieces))
    screen.start()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=300,
            check=False,
        )
    finally:
        os.close(writer)
        screen.join(60)
        os.close(reader)
    return b"".join(pieces).decode().replace("\r\n", "\n"), done.stderr.decode()


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which `perdure` and `python` are those of this test."""
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    for name, arguments in (("perdure", "-P -m perdure"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    return {**os.environ, "PATH": path, "COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1"}


def _drain(descriptor: int, pieces: list[bytes]) -> None:
    try:
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    except OSError:  # so it ends on Linux
        return


def _trimmed(text: str) -> str:
    """Return text without styles, without blanks at the ends of its lines, and without blank lines around it."""
    return "\n".join(line.rstrip() for line in _STYLES.sub("", text).splitlines()).strip("\n")
