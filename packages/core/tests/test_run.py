"""`perdure.run`: results, signals, exit codes, and what makes it faster on request."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

import perdure
from perdure.errors import SystemCrashed

SERVER = """
import asyncio, perdure
from perdure.actors import Actor, ActorSystem, Message

class Work(Message[None]):
    pass

class Worker(Actor):
    async def handle(self, message, context):
        {handle}
    async def stopping(self, context):
        print("stopped in order", flush=True)

async def main():
    async with ActorSystem() as system:
        worker = await system.spawn(Worker, "worker", supervision=perdure.Escalate())
        print("ready", flush=True)
        await worker.tell(Work())
        await system.until_shutdown()

perdure.run(main)
"""


def serve(handle: str) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [sys.executable, "-c", SERVER.format(handle=handle)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def rest_of(program: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for the end and return what was not read yet."""
    assert program.stdout is not None
    assert program.stderr is not None
    out, err = program.stdout.read(), program.stderr.read()
    program.wait(timeout=20)
    return out, err


def test_the_result_is_that_of_the_program() -> None:
    """`run` takes a function or a coroutine, as one likes."""

    async def main() -> int:
        return 42

    assert (perdure.run(main), perdure.run(main())) == (42, 42)


def test_an_error_comes_out_as_it_is() -> None:
    """What the program raises is raised."""

    async def main() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        perdure.run(main)


def test_sigterm_is_a_graceful_end() -> None:
    """Actors stop in order, and the exit code is 0 (AVE-63)."""
    with serve("pass") as program:
        program.send_signal(signal.SIGTERM)
        out, err = rest_of(program)

    assert (out, err, program.returncode) == ("stopped in order\n", "", 0)


def test_a_second_sigterm_is_not_waited_for() -> None:
    """Who asks twice gets the usual effect."""
    with serve("await asyncio.sleep(0.2); context.system.stop_timeout = 60; await asyncio.Event().wait()") as program:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGTERM)
        program.communicate(timeout=20)

    assert program.returncode == -signal.SIGTERM


def test_shutdown_is_a_graceful_end() -> None:
    """An actor may ask for it (AVE-63)."""
    with serve("context.system.shutdown()") as program:
        out, _ = rest_of(program)

    assert (out, program.returncode) == ("stopped in order\n", 0)


def test_a_crash_is_exit_code_1() -> None:
    """A root that escalates ends the process, which says why (W-15)."""
    with serve("raise ValueError('beyond repair')") as program:
        out, err = rest_of(program)

    assert (out, program.returncode) == ("stopped in order\n", 1)
    assert "perdure.errors.SystemCrashed: the system crashed: ValueError: beyond repair" in err


def test_a_crash_raises_with_its_cause() -> None:
    """Whoever runs the program can look at the error."""

    async def main() -> None:
        async with perdure.ActorSystem() as system:
            system.crash(OSError("no disk"))
            await system.until_shutdown()

    with pytest.raises(SystemCrashed, match="no disk") as caught:
        perdure.run(main)

    assert isinstance(caught.value.__cause__, OSError)


def test_the_collector_is_tuned_only_on_request_and_only_while_it_runs() -> None:
    """Afterwards it is as it was."""

    async def main() -> tuple[int, int]:
        return gc.get_threshold()[0], gc.get_freeze_count()

    before, frozen = gc.get_threshold(), gc.get_freeze_count()  # 3.12 has frozen some objects of its own

    untuned = perdure.run(main)
    tuned = perdure.run(main, tune_gc=True)

    assert untuned == (before[0], frozen)
    assert (tuned[0], tuned[1] > frozen) == (50_000, True)
    assert (gc.get_threshold(), gc.get_freeze_count() <= frozen) == (before, True)


def test_uvloop_is_used_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the program runs as usual."""

    class Loop(asyncio.SelectorEventLoop):
        pass

    async def main() -> Any:
        return type(asyncio.get_running_loop())

    monkeypatch.setitem(sys.modules, "uvloop", None)
    without = perdure.run(main, uvloop=True)
    monkeypatch.setitem(sys.modules, "uvloop", type("uvloop", (), {"new_event_loop": Loop}))
    with_it = perdure.run(main, uvloop=True)

    assert (without is not Loop, with_it) == (True, Loop)


def test_it_runs_in_a_thread_that_hears_no_signals() -> None:
    """Only the main thread may listen to them."""

    async def main() -> None:
        results.append("ran")

    results: list[str] = []
    thread = threading.Thread(target=perdure.run, args=(main,))
    thread.start()
    thread.join()

    assert results == ["ran"]
