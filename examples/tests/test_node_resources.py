"""The nodes show what holds, and the check would notice if they did not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec

import msgspec
import pytest
from examples.node_resources import Load, NodeResources, Report, Resources, Seen, Watch, arguments, cell, demo, looked
from examples.tests.conftest import Run

from perdure_replication import Generation, Settings
from perdure_replication.testing import TestRuntime

START = Resources(cpu=200, memory=1000, tasks=4)
SOME, OTHER = Resources(10, 500, 1), Resources(20, 650, 2)


def report(**shown: Seen) -> Report:
    return Report(rests=False, shown=shown, stale=(), missing=(), unreachable=())


@pytest.fixture
async def runtime() -> AsyncIterator[TestRuntime]:
    """Two nodes, of which one has looked at itself once."""
    async with TestRuntime(NodeResources, settings=Settings(digest_interval=1e6, feed_interval=1e6)) as runtime:
        await runtime.start("berlin")
        await runtime.start("oslo")
        await look(runtime, START)
        yield runtime


async def look(runtime: TestRuntime, *seen: Resources) -> None:
    for each in seen:
        await runtime.nodes["berlin"].replica(NodeResources).mutate(looked(each))
    await runtime.advance(0.1)


def shown(runtime: TestRuntime) -> Resources:
    return runtime.nodes["oslo"].replica(NodeResources).views["berlin"]


async def test_a_jump_of_memory_is_there_at_once(runtime: TestRuntime) -> None:
    """With all that the node has seen of itself (EXAMPLE-01, EXAMPLE-04)."""
    jump = msgspec.structs.replace(START, memory=1250)

    await look(runtime, jump)

    assert shown(runtime) == jump


async def test_a_little_more_cpu_sends_nothing(runtime: TestRuntime) -> None:
    before = runtime.nodes["oslo"].metrics()

    await look(runtime, msgspec.structs.replace(START, cpu=205))

    assert shown(runtime) == START
    assert runtime.nodes["oslo"].metrics() == before


async def test_what_was_held_back_comes_summed_with_the_next_push(runtime: TestRuntime) -> None:
    noise = [msgspec.structs.replace(START, cpu=cpu) for cpu in (205, 201, 209)]
    received = runtime.nodes["oslo"].metrics().deltas_received

    await look(runtime, *noise, Resources(209, 2000, 4))

    assert shown(runtime) == Resources(209, 2000, 4)
    assert runtime.nodes["oslo"].metrics().deltas_received == received + 1


async def test_how_often_a_node_has_looked_is_its_own_business(runtime: TestRuntime) -> None:
    own = runtime.nodes["berlin"].replica(NodeResources)

    assert own.state == Load(200, 1000, 4, looks=1)
    assert msgspec.to_builtins(shown(runtime)) == {"cpu": 200, "memory": 1000, "tasks": 4}


async def test_a_task_goes_where_least_memory_is_in_use() -> None:
    """Of all nodes that are seen (EXAMPLE-03)."""
    generation = Generation(1, 1)

    assert report(berlin=Seen(generation, OTHER), oslo=Seen(generation, SOME)).idlest() == "oslo"


def test_views_that_move_on_are_no_problem() -> None:
    watch = Watch()

    watch.read("oslo", report(berlin=Seen(Generation(1, 9), SOME)))
    watch.read("oslo", report(berlin=Seen(Generation(2, 0), OTHER)))

    assert (watch.problems, watch.views) == ([], 2)


def test_a_view_that_goes_back_is_noticed() -> None:
    watch = Watch()

    watch.read("oslo", report(berlin=Seen(Generation(2, 0), SOME)))
    watch.read("oslo", report(berlin=Seen(Generation(1, 9), OTHER)))

    assert watch.problems == ["oslo shows berlin at v1:9, after it has shown v2:0"]


def test_a_new_process_may_begin_anywhere() -> None:
    watch = Watch()
    watch.read("oslo", report(berlin=Seen(Generation(1, 9), SOME)))

    watch.begin("oslo")
    watch.read("oslo", report(berlin=Seen(Generation(1, 8), OTHER)))

    assert watch.problems == []


def test_a_view_that_its_owner_never_had_is_noticed() -> None:
    watch = Watch()

    watch.read("berlin", report(berlin=Seen(Generation(1, 1), SOME)))
    watch.read("oslo", report(berlin=Seen(Generation(1, 1), OTHER)))

    [problem] = watch.problems
    assert problem.startswith("oslo shows berlin at v1:1 as ")


@pytest.mark.parametrize(
    ("held", "word"),
    [(Generation(2, 5), "new"), (Generation(2, 3), "-2"), (Generation(1, 7), "old"), (None, "-")],
)
def test_a_cell_says_how_far_a_node_is(held: Generation | None, word: str) -> None:
    views = {} if held is None else {"berlin": Seen(held, SOME)}

    assert cell("oslo", report(**views), "berlin", Generation(2, 5)) == word


def test_the_demo_says_ok_and_writes_no_control_characters_into_a_pipe(run: Run) -> None:
    done = run("node_resources.py", "--nodes", 3, "--seconds", 0.3, "--seed", 2)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "OK: 3 processes, oslo killed and restarted." in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


def test_the_demo_runs_through_a_broker(run: Run, redis_port: int) -> None:
    pytest.importorskip("redis")

    done = run("node_resources.py", "--nodes", 2, "--seconds", 0.3, "--redis", f"redis://127.0.0.1:{redis_port}")

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "OK: 2 processes" in done.stdout


@pytest.mark.skipif(find_spec("redis") is None, reason="redis-py is not installed")
async def test_the_demo_says_failed_when_nodes_cannot_start(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["node_resources.py", "--nodes", "2", "--redis", "parchment://127.0.0.1"])

    code = await demo(arguments())

    said = capfd.readouterr()
    assert code == 1
    assert "ended by itself, with exit code 2" in said.out
    assert "Traceback" not in said.err


@pytest.mark.parametrize("wrong", [("--nodes", "1"), ("--nodes", "10"), ("--seconds", "0"), ("--nodes", "many")])
def test_the_demo_refuses_wrong_options(wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["node_resources.py", *wrong])

    with pytest.raises(SystemExit) as refused:
        arguments()

    assert refused.value.code == 2
