"""Nodes that know what each of them has left, while one is killed and comes back: `python examples/node_resources.py`.

Each node is a process. It owns its part of one replicated state, and shows the parts of all. The processes are
connected by TCP on this machine or, with `--redis redis://localhost:6379`, through a server. This program starts them,
kills one with SIGKILL, starts it again, and reads what each of them shows all the while: a view may be old, but then
its node says so; it never goes back, and never shows what its owner did not have; when all rest, all are the same.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec

import msgspec

from perdure import PerdureError
from perdure.security import EncryptedKey
from perdure_replication import (
    DeltaDistributedState,
    Generation,
    Membership,
    Node,
    Replica,
    Settings,
    SyncStrategy,
    SyncUrgency,
    Transport,
)
from perdure_replication.tcp import TcpMembership, TcpSettings, TcpTransport

NAMES = ("berlin", "lisbon", "oslo", "paris", "rome", "sofia", "vienna", "warsaw", "zurich")

MAX_STALENESS = 1.0
"""Seconds for which a view is good enough here."""

LOOK_EVERY = 0.05
"""Seconds between two looks of a node at itself."""

REPORT_EVERY = 0.1

PATIENCE = 15.0
"""Seconds after which a step has failed; it takes one or two."""


# The state.


class Load(msgspec.Struct, frozen=True):
    """What a node knows of itself."""

    cpu: int = 0
    """In thousandths."""
    memory: int = 0
    """Megabytes in use."""
    tasks: int = 0
    looks: int = 0
    """How often it has looked, which is nobody else's business."""


class Resources(msgspec.Struct, frozen=True):
    """What others may see of it."""

    cpu: int = 0
    memory: int = 0
    tasks: int = 0


class Moved(msgspec.Struct, frozen=True):
    """The difference between two looks."""

    cpu: int
    memory: int
    tasks: int


class NodeResources(DeltaDistributedState[Load, Resources, Moved, Moved]):
    """Says at once what matters, soon what may, and the noise together with whatever is said next."""

    strategy = SyncStrategy.feed_with_periodic_sync(1.0)

    def initial(self) -> Load:
        return Load()

    def project(self, load: Load) -> Resources:
        return Resources(load.cpu, load.memory, load.tasks)

    def project_change(self, change: Moved) -> Moved:
        return change

    def apply(self, view: Resources, moved: Moved) -> Resources:
        return Resources(view.cpu + moved.cpu, view.memory + moved.memory, view.tasks + moved.tasks)

    def compose(self, first: Moved, second: Moved) -> Moved:
        return Moved(first.cpu + second.cpu, first.memory + second.memory, first.tasks + second.tasks)

    def urgency(self, before: Resources, after: Resources, moved: Moved) -> SyncUrgency:
        if abs(moved.memory) * 4 >= before.memory:
            return SyncUrgency.immediate()
        if not moved.tasks and not moved.memory and abs(moved.cpu) < 10:
            return SyncUrgency.suppress()
        return SyncUrgency.default()


def looked(now: Resources) -> Callable[[Load], tuple[Load, Moved]]:
    """Return the mutation to what a node has just seen of itself."""

    def mutation(load: Load) -> tuple[Load, Moved]:
        moved = Moved(now.cpu - load.cpu, now.memory - load.memory, now.tasks - load.tasks)
        return Load(now.cpu, now.memory, now.tasks, load.looks + 1), moved

    return mutation


# The process of a node.


class Machine:
    """Something that has a load. Tasks come and go, now and then many at once."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._tasks = 4

    def look(self) -> Resources:
        match self._random.random():
            case chance if chance < 0.05:
                self._tasks = self._random.randrange(40)
            case chance if chance < 0.3:
                self._tasks = max(0, self._tasks + self._random.choice((-1, 1)))
        return Resources(20 * self._tasks + self._random.randrange(8), 500 + 150 * self._tasks, self._tasks)


class Seen(msgspec.Struct, frozen=True):
    """A view, as a node shows it."""

    generation: Generation
    resources: Resources


class Report(msgspec.Struct, frozen=True):
    """What a node shows of all nodes, itself among them, and of which of them it says what."""

    rests: bool
    shown: dict[str, Seen]
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    unreachable: tuple[str, ...]

    def shows_all(self, names: Iterable[str]) -> bool:
        """Tell whether it has a fresh view of each of these nodes."""
        return self.shown.keys() == {*names} and not (self.stale or self.missing)

    def idlest(self) -> str:
        """Return the node at which least memory is in use, by what is shown: where one would place a task."""
        return min(self.shown, key=lambda name: (self.shown[name].resources.memory, name))


async def serve(options: argparse.Namespace) -> None:
    """Be a node until standard input ends, or says so."""
    logging.getLogger("perdure.replication").setLevel(logging.ERROR)  # that a peer is gone is no news here
    lines = await standard_input()
    secret = EncryptedKey.taking(bytearray.fromhex((await lines.readline()).decode()))
    transport, membership = ports(options, secret)
    settings = Settings(digest_interval=0.5, feed_interval=0.1, pull_timeout=0.2)
    node = Node(
        options.serve,
        [NodeResources],
        transport=transport,
        membership=membership,
        cluster=options.cluster,
        settings=settings,
    )
    working = asyncio.Event()
    async with node, asyncio.TaskGroup() as tasks:
        replica = node.replica(NodeResources)
        machine = Machine(f"{options.seed} {options.serve} {node.incarnation}")
        busy = [tasks.create_task(work(replica, machine, working)), tasks.create_task(report(replica, working))]
        while (line := await lines.readline()) and line != b"leave\n":
            (working.set if line == b"work\n" else working.clear)()
        for task in busy:
            task.cancel()


def ports(options: argparse.Namespace, secret: EncryptedKey) -> tuple[Transport, Membership]:
    """Return what connects a node with the others."""
    if options.redis:
        from perdure_replication.redis import RedisMembership, RedisTransport

        return (
            RedisTransport(options.redis, cluster=options.cluster, secret=secret),
            RedisMembership(
                options.redis, cluster=options.cluster, secret=secret, beat_interval=0.2, unreachable_after=1.0
            ),
        )
    settings = TcpSettings(heartbeat=0.2, silence=2.0, suspicion=0.5, backoff_most=0.5)
    transport = TcpTransport(options.address, secret=secret, cluster=options.cluster, settings=settings)
    return transport, TcpMembership(transport, options.seeds, settings=settings)


async def work(replica: Replica[Load, Resources, tuple[Load, Moved]], machine: Machine, working: asyncio.Event) -> None:
    while True:
        await working.wait()
        await replica.mutate(looked(machine.look()))
        await asyncio.sleep(LOOK_EVERY)


async def report(replica: Replica[Load, Resources, tuple[Load, Moved]], working: asyncio.Event) -> None:
    """Say now and then on standard output what is shown, after asking for what is too old."""
    while True:
        rests = not working.is_set()
        lacking = (await replica.query(MAX_STALENESS, timeout=0.5)).freshness
        shown = {name: Seen(held.generation, held.view) for name, held in replica.held().items()}
        said = Report(rests, shown, lacking.stale, lacking.missing, lacking.unreachable)
        print(msgspec.json.encode(said).decode(), flush=True)
        await asyncio.sleep(REPORT_EVERY)


async def standard_input() -> asyncio.StreamReader:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    return lines


# The check.


class Watch:
    """What must hold of all reports, whatever happens to the nodes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.views = 0
        """How many were looked at."""
        self._known: dict[tuple[str, Generation], tuple[Resources, str]] = {}
        self._last: dict[tuple[str, str], Generation] = {}

    def begin(self, node: str) -> None:
        """Expect nothing of a new process of a node."""
        self._last = {pair: generation for pair, generation in self._last.items() if pair[0] != node}

    def read(self, node: str, report: Report) -> None:
        for owner, seen in report.shown.items():
            self.views += 1
            first, teller = self._known.setdefault((owner, seen.generation), (seen.resources, node))
            if first != seen.resources:
                self.problems.append(
                    f"{node} shows {owner} at {seen.generation} as {seen.resources}, and {teller} as {first}"
                )
            if seen.generation < self._last.get((node, owner), seen.generation):
                last = self._last[node, owner]
                self.problems.append(f"{node} shows {owner} at {seen.generation}, after it has shown {last}")
            self._last[node, owner] = seen.generation


# The program that kills.


class Screen:
    """Standard output. What passes is for terminals alone, and gives way to what comes next."""

    def __init__(self) -> None:
        self._is_live = sys.stdout.isatty()
        self._height = 0

    def show(self, text: str, *, passing: bool = False) -> None:
        if passing and not self._is_live:
            return
        if self._height:
            print(f"\x1b[{self._height}F\x1b[J", end="")
        print(text, flush=True)
        self._height = text.count("\n") + 1 if passing else 0


class Child:
    """The process of a node, as this program sees it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.process: asyncio.subprocess.Process | None = None
        self.report: Report | None = None
        """The last one of the process that runs."""

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.returncode

    async def start(self, arguments: Iterable[str], secret: EncryptedKey) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, *arguments, "--serve", self.name, "--address", self.address),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        with secret.reveal() as key:  # not as an argument: every user of the machine sees those
            self.say(key.hex())

    def say(self, order: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n".encode())

    async def listen(self, watch: Watch) -> None:
        """Read the reports of one process, to the last whole one."""
        assert self.process is not None
        assert self.process.stdout is not None
        while (line := await self.process.stdout.readline()).endswith(b"\n"):
            self.report = msgspec.json.decode(line, type=Report)
            watch.read(self.name, self.report)
        self.report = None

    async def kill(self) -> None:
        """End its process with SIGKILL, if one runs."""
        if self.process is not None:
            if self.exit_code is None:
                self.process.kill()
            await self.process.wait()


class NotSoFar(Exception):
    """A step was not done in time."""


class Trial:
    """A cluster from its start to its end."""

    def __init__(self, options: argparse.Namespace) -> None:
        names = NAMES[: options.nodes]
        self.children = {name: Child(name, address) for name, address in zip(names, free_addresses(), strict=False)}
        self.watch = Watch()
        self.screen = Screen()
        self._options = options
        self._secret = EncryptedKey.generate()
        self._arguments = [f"--cluster=node-resources-{os.urandom(4).hex()}", f"--seed={options.seed}"]
        if options.redis:
            self._arguments.append(f"--redis={options.redis}")
        self._arguments += [f"--seeds={child.address}" for child in self.children.values()]
        self._listening: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> str:
        """Return what to say in the end. Raises `NotSoFar`."""
        try:
            return await self._run()
        finally:
            await asyncio.gather(*(child.kill() for child in self.children.values()))
            await asyncio.gather(*self._listening.values())

    async def _run(self) -> str:
        began = time.monotonic()
        for name in self.children:
            await self._start(name)
        await self._until("every node shows all", self._all_show_all)
        self._show(f"after {time.monotonic() - began:.1f} s every node shows all")
        await self._work()
        victim = next(reversed(self.children))
        known = await self._kill(victim)
        back = await self._restart(victim)
        await self._work()
        same = await self._rest()
        await self._leave()
        return (
            f"{self._options.nodes} processes, {victim} killed and restarted. After {known:.1f} s all knew that "
            f"it was gone,\nafter {back:.1f} s they had its new life; {same:.1f} s after they came to rest all showed "
            "the same.\n"
            f"None of {self.watch.views:,} views was wrong, and none went back."
        )

    async def _start(self, name: str) -> None:
        self.watch.begin(name)
        child = self.children[name]
        await child.start(self._arguments, self._secret)
        self._listening[name] = asyncio.create_task(child.listen(self.watch))

    async def _work(self) -> None:
        for child in self.children.values():
            child.say("work")
        deadline = time.monotonic() + self._options.seconds
        while time.monotonic() < deadline:
            await asyncio.sleep(REPORT_EVERY)
            self._show("at work", passing=True)
        self._show("at work")

    async def _kill(self, victim: str) -> float:
        """Kill a node. Returns after how many seconds all others say that its view is stale, and it unreachable."""
        began = time.monotonic()
        await self.children[victim].kill()
        await self._listening[victim]
        await self._until(f"the others say that {victim} is gone", lambda: self._is_gone(victim))
        seconds = time.monotonic() - began
        self._show(f"{victim} was killed: {seconds:.1f} s later all have its last view, and say that it is stale")
        return seconds

    async def _restart(self, victim: str) -> float:
        """Start a killed node. Returns after how many seconds everybody has everything again."""
        before = max(seen.generation.incarnation for seen in self._views_of(victim))
        began = time.monotonic()
        await self._start(victim)
        self.children[victim].say("work")

        def is_back() -> bool:
            return self._all_show_all() and all(seen.generation.incarnation > before for seen in self._views_of(victim))

        await self._until(f"every node shows the new life of {victim}", is_back)
        seconds = time.monotonic() - began
        self._show(f"{victim} was started again: {seconds:.1f} s later every node shows all, {victim} in its new life")
        return seconds

    async def _rest(self) -> float:
        """Let all nodes rest. Returns after how many seconds all show the same."""
        began = time.monotonic()
        for child in self.children.values():
            child.say("rest")
        await self._until("all show the same", self._is_same)
        seconds = time.monotonic() - began
        choice = " and ".join({report.idlest() for report in self._reports().values()})
        self._show(f"all rest: {seconds:.1f} s later all show the same, and would place a task at {choice}")
        return seconds

    async def _leave(self) -> None:
        for child in self.children.values():
            child.say("leave")
        for child in self.children.values():
            assert child.process is not None
            try:
                code = await asyncio.wait_for(child.process.wait(), PATIENCE)
            except TimeoutError:
                raise NotSoFar(f"{child.name} does not end") from None
            if code:
                self.watch.problems.append(f"{child.name} ended with exit code {code}")

    # What the nodes show

    async def _until(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            for child in self.children.values():
                if child.exit_code not in (None, -signal.SIGKILL):
                    raise NotSoFar(f"{child.name} ended by itself, with exit code {child.exit_code}")
            if time.monotonic() > deadline:
                self._show(f"waited for {PATIENCE:g} s")
                raise NotSoFar(f"it is not so after {PATIENCE:g} s that {what}")
            await asyncio.sleep(REPORT_EVERY / 4)
            self._show(f"until {what} …", passing=True)

    def _reports(self) -> dict[str, Report]:
        return {name: child.report for name, child in self.children.items() if child.report is not None}

    def _views_of(self, owner: str) -> list[Seen]:
        return [report.shown[owner] for report in self._reports().values() if owner in report.shown]

    def _all_show_all(self) -> bool:
        reports = self._reports()
        return reports.keys() == self.children.keys() and all(
            report.shows_all(self.children) for report in reports.values()
        )

    def _is_gone(self, victim: str) -> bool:
        return all(
            victim in report.shown and victim in report.stale and victim in report.unreachable
            for report in self._reports().values()
        )

    def _is_same(self) -> bool:
        reports = list(self._reports().values())
        is_at_rest = self._all_show_all() and all(report.rests for report in reports)
        return is_at_rest and all(report.shown == reports[0].shown for report in reports)

    def _show(self, title: str, *, passing: bool = False) -> None:
        self.screen.show("\n".join([title, *table(self._reports(), list(self.children))]), passing=passing)


def table(reports: Mapping[str, Report], names: list[str]) -> list[str]:
    """Return a line for each node: what is shown of it, at its newest, and how far each node is with that."""
    lines = [f"  {'':8} {'cpu':>5} {'memory':>8} {'tasks':>5} {'looks':>5}  {'':>7}".rstrip() + "  in the view of"]
    lines.append(f"  {'':36}" + " ".join(f"{name:>7}" for name in names))
    for owner in names:
        views = [report.shown[owner] for report in reports.values() if owner in report.shown]
        if views:
            newest = max(views, key=lambda seen: seen.generation)
            load = newest.resources
            what = f"{load.cpu / 10:4.1f}% {load.memory:5} MB {load.tasks:5} {newest.generation.age:5}"
            cells = " ".join(f"{cell(name, reports.get(name), owner, newest.generation):>7}" for name in names)
            lines.append(f"  {owner:8} {what:27}{cells}")
        else:
            lines.append(f"  {owner:8} -")
    return lines


def cell(name: str, report: Report | None, owner: str, newest: Generation) -> str:
    """Return in a word how far one node is with the part of another."""
    if report is None:
        return "dead"
    if name == owner:
        return "own"
    if owner not in report.shown:
        return "-"
    if owner in report.stale:
        return "stale"
    seen = report.shown[owner].generation
    return "new" if seen == newest else f"-{newest.age - seen.age}" if seen.incarnation == newest.incarnation else "old"


def free_addresses() -> list[str]:
    """Return an address of this machine for each name, at which nobody listens."""
    sockets = [socket.socket() for _ in NAMES]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


async def demo(options: argparse.Namespace) -> int:
    """Run the trial and print the verdict; return the exit code."""
    trial = Trial(options)
    over = "over a broker" if options.redis else "over TCP on 127.0.0.1"
    trial.screen.show(f"{options.nodes} nodes {over}, a process each (seed {options.seed})\n")
    problems = trial.watch.problems
    verdict = ""
    try:
        verdict = await trial.run()
    except NotSoFar as failure:
        problems.append(str(failure))
    if problems:
        trial.screen.show(f"\nFAILED: {len(problems):,} problems, the first of them:")
        trial.screen.show("\n".join(problems[:10]))
        return 1
    trial.screen.show(f"\nOK: {verdict}")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill a node and start it again, and look at what all nodes show.")
    parser.add_argument("--nodes", type=int, default=5, help="how many processes there are (default 5)")
    parser.add_argument("--seconds", type=float, default=2, help="how long they work, twice (default 2)")
    parser.add_argument("--redis", metavar="URL", help="connect them through this server, not by TCP")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="decides the loads")
    for hidden in ("--serve", "--address", "--cluster"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 2 <= options.nodes <= len(NAMES) or options.seconds <= 0:
        parser.error(f"--nodes is 2 to {len(NAMES)}, --seconds more than 0")
    if options.redis and find_spec("redis") is None:
        parser.error("--redis needs redis-py: pip install 'perdure-replication[redis]'")
    return options


def main() -> int:
    options = arguments()
    try:
        if not options.serve:
            return asyncio.run(demo(options))
        asyncio.run(serve(options))
    except KeyboardInterrupt:
        return 130
    except PerdureError as error:
        print(f"node_resources.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
