"""The command `perdure` in a process that has imported it already, for who runs it many times.

To import it takes longer than most commands. So a server does so once, and forks for each command: it is a process of
its own, in the folder, the environment and the terminal of who asked.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLIENT = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(PLACE)
    socket.send_fds(server, [b"*"], [0, 1, 2])
    told = [os.getcwd(), str(len(os.environ)), *map("=".join, os.environ.items()), *sys.argv[1:]]
    server.sendall("\\0".join(told).encode("utf-8", "surrogateescape"))
    server.shutdown(socket.SHUT_WR)
    code = server.recv(8)
os._exit(int(code or b"70"))
"""


@contextmanager
def preloaded(program: Path) -> Iterator[None]:
    """Have a program at a path that is `perdure`, until the end."""
    with tempfile.TemporaryDirectory(prefix="perdure") as folder:  # the paths of sockets are short
        place = f"{folder}/socket"
        Path(folder, "client.py").write_text(CLIENT.replace("PLACE", repr(place)))
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{folder}/client.py" "$@"\n')
        program.chmod(0o755)
        with subprocess.Popen([sys.executable, "-P", __file__, place], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            try:
                yield
            finally:
                server.kill()


def serve(place: str) -> None:
    """Import the command, say so, and run it whenever somebody asks."""
    import perdure.cli._aligned
    import perdure.cli._app
    import perdure.upkeep  # noqa: F401

    with suppress(ImportError):
        import perdure_sqlite  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(client)
            client.close()


def _answer(client: socket.socket) -> None:
    """Run the command that a client asks for, and end with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(client, 1, 3)
    pieces: list[bytes] = []
    while piece := client.recv(65536):
        pieces.append(piece)
    folder, count, *others = b"".join(pieces).decode("utf-8", "surrogateescape").split("\0")
    environment, arguments = others[: int(count)], others[int(count) :]
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    os.chdir(folder)
    os.environ.clear()
    for pair in environment:
        name, _, value = pair.partition("=")
        os.environ[name] = value
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path and path not in sys.path]
    code = _run(arguments)
    client.sendall(b"%d" % code)
    os._exit(code)


def _run(arguments: list[str]) -> int:
    from perdure.cli import main

    try:
        return main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
