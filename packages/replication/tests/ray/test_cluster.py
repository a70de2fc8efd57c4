"""Durable actors at hosts of a Ray cluster, and nodes in its processes.

All that needs the cluster is in this file: files are run beside each other, and one cluster is enough for this machine.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, repeat
from pathlib import Path
from string import ascii_letters
from typing import Any

import pytest
import redis

from perdure import ActorSystem
from perdure.errors import AskTimeout, OutcomeUnknown, StoreError, Superseded
from perdure_replication import Node
from perdure_replication.errors import (
    HostLost,
    HostUnavailable,
    InvalidHosts,
    InvalidRuntime,
    InvalidTransport,
    RemoteFailure,
    ReplyLost,
)
from perdure_replication.ray import HostInfo, RayHosts, RayPorts, RayRef, RayRuntime
from perdure_replication.ray._meeting import NAME
from perdure_replication.runtime import ActorRuntime, LocalRef, NewRuntime
from perdure_replication.runtime._own import PerdureRef
from perdure_replication.testing import ActorRuntimeContract, MembershipContract, NewPorts

from .bank import (
    Account,
    Deposit,
    Deposited,
    Fail,
    Mumble,
    Send,
    State,
    Statement,
    TooLittle,
    Wait,
    Withdraw,
    sealed_system,
)
from .company import Examiner, greeters, node, ports, rules_of_one_process, stranger
from .conftest import Machines, until

PAGE = (Path(__file__).parents[4] / "docs" / "ray.md").read_text()

pytestmark = pytest.mark.usefixtures("machines")


class Load:
    """Deposits to some accounts, one at a time to each, and what became of them, as long as the block lasts."""

    def __init__(self, hosts: RayHosts, accounts: list[str]) -> None:
        self.accounts = accounts
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []
        self._hosts = hosts
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._deposit(account)) for account in self.accounts]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def more(self, number: int) -> None:
        """Return when so many more are acknowledged, and of each account one at least."""
        before = len(self.acknowledged)
        await until(
            lambda: (
                len(self.acknowledged) >= before + number
                and {note.rpartition(" ")[0] for note in self.acknowledged[before:]} == set(self.accounts)
            ),
            seconds=90,
        )

    async def _deposit(self, account: str) -> None:
        ref = self._hosts.ref(Account, account)
        for number in count():
            if self._is_over:
                return
            note = f"{account} {number}"
            try:
                await ref.ask(Deposit(1, note))
            except (HostUnavailable, Superseded):
                continue
            except OutcomeUnknown:
                self.unknown.append(note)
            else:
                self.acknowledged.append(note)


async def notes(system: ActorSystem, persistence_id: str) -> list[str]:
    """Return what an account's deposits are noted as, in their order."""
    found = [stored async for stored in system.query(Account).events_of(persistence_id)]
    return [stored.event.note for stored in found if isinstance(stored.event, Deposited)]


def apart(hosts: RayHosts, key: str) -> tuple[RayRef, RayRef]:
    """Return two accounts at two hosts."""
    refs = [hosts.ref(Account, f"{key} {number}") for number in range(64)]
    one, other = {ref.host: ref for ref in refs}.values()
    return one, other


class TestMessages:
    async def test_are_handled_by_the_actor_of_their_key(self, hosts: RayHosts, system: ActorSystem, key: str) -> None:
        """Its state is what it was told and asked; its log is in the store that all share."""
        account = hosts.ref(Account, key)

        assert await account.ask(Deposit(5, "first")) == 5
        await account.tell(Deposit(3, "second"))
        assert (await account.ask(State())).balance == 8
        assert await hosts.ref(Account, f"{key} 2").ask(Deposit(1)) == 1

        assert await notes(system, f"Account/{key}") == ["first", "second"]

    async def test_are_handled_in_processes_of_several_nodes(self, hosts: RayHosts, key: str) -> None:
        """A reply is of its own type."""
        here, there = [await ref.ask(State()) for ref in apart(hosts, key)]

        infos = await hosts.describe()
        assert isinstance(here, Statement)
        assert {here.process, there.process} == {info.pid for info in infos}
        assert len({info.node for info in infos}) == 2
        assert all(info.live for info in infos)

    async def test_go_from_an_actor_to_one_at_another_host(self, hosts: RayHosts, key: str) -> None:
        """By the resource `hosts`."""
        here, there = apart(hosts, key)
        await here.ask(Deposit(10))

        assert await here.ask(Send(4, to=there.key)) == 4

        assert (await here.ask(State())).balance == 6

    async def test_are_answered_in_time_or_not_at_all(self, hosts: RayHosts) -> None:
        """The error names the actor."""
        with pytest.raises(AskTimeout, match=r"Account/slow did not reply within 0\.2 s"):
            await hosts.ref(Account, "slow").ask(Wait(60), timeout=0.2)

    async def test_of_plain_ray_code_are_calls(self, hosts: RayHosts, key: str) -> None:
        """A ref goes to a task, the `ObjectRef` of a reply is an argument as any other, and errors are caught."""
        import ray

        @ray.remote(num_cpus=0)
        def double(balance: int, ref: Any) -> Any:
            return ray.get(ref.ask_remote(Deposit(balance)))

        account = hosts.ref(Account, key)

        assert await double.remote(account.ask_remote(Deposit(5)), account) == 10
        with pytest.raises(TooLittle):
            await account.ask_remote(Withdraw(11))


class TestErrors:
    async def test_cross_as_themselves(self, hosts: RayHosts) -> None:
        """Those that can be made of their arguments: of perdure, of the user and of Python."""
        alice = hosts.ref(Account, "alice")

        with pytest.raises(TooLittle) as refused:
            await alice.ask(Withdraw(7))
        with pytest.raises(ValueError, match="cannot fly") as failed:
            await alice.ask(Fail("fly"))

        assert refused.value.missing == 7
        assert failed.value.args == ("cannot fly", 7)
        assert "bank.py" in "".join(failed.value.__notes__)

    async def test_that_cannot_be_made_again_are_told(self, hosts: RayHosts) -> None:
        """By their type and text."""
        with pytest.raises(RemoteFailure, match=r"Account/alice raised .*bank:Unmakeable: because of a test"):
            await hosts.ref(Account, "alice").ask(Fail("unmakeable"))

    async def test_say_that_a_message_was_handled_whose_reply_is_wrong(self, hosts: RayHosts) -> None:
        """The reply is not what the message promises."""
        with pytest.raises(ReplyLost, match="Account/alice has handled a message"):
            await hosts.ref(Account, "alice").ask(Mumble())


class TestHosts:
    async def test_are_found_by_their_name(self, hosts: RayHosts, key: str) -> None:
        """Their refs are equal to those of whoever started them; to leave them does not end them."""
        async with await RayHosts.find() as found:
            assert found.ref(Account, key) == hosts.ref(Account, key)
            assert await found.ref(Account, key).ask(Deposit(5)) == 5

        assert await hosts.ref(Account, key).ask(Deposit(5)) == 10

    async def test_have_a_name_of_their_own(self, hosts: RayHosts, url: str, key: str) -> None:
        """Those that run are left alone."""
        with pytest.raises(InvalidHosts, match="they run already"):
            async with RayHosts(url):
                pass

        assert await hosts.ref(Account, key).ask(Deposit(5)) == 5

    async def test_that_are_detached_are_joined(self, url: str, key: str) -> None:
        """By those who say the same of them; they outlive whoever leaves, until they are stopped."""
        options = {"num_cpus": 0}
        async with RayHosts(url, name="shared", detached=True, options=options) as hosts:
            await hosts.ref(Account, key).ask(Deposit(5))

        async with RayHosts(url, name="shared", detached=True, options=options) as hosts:
            assert (await hosts.ref(Account, key).ask(State())).balance == 5
        with pytest.raises(InvalidHosts, match="another store"):
            async with RayHosts(f"{url}2", name="shared", detached=True, options=options):
                pass
        await hosts.stop()

        with pytest.raises(HostUnavailable, match="nothing was sent"):
            await RayHosts.find("shared")

    async def test_say_why_they_cannot_open_their_store(self) -> None:
        """And do not stay."""
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
            async with RayHosts("redis://127.0.0.1:9/0?timeout=1", name="lost", options={"num_cpus": 0}):
                pass

        with pytest.raises(HostUnavailable):
            await RayHosts.find("lost", timeout=5)

    async def test_that_have_no_room_do_not_start(self, url: str) -> None:
        """They say so in time."""
        with pytest.raises(HostUnavailable, match="has the cluster room"):
            async with RayHosts(url, name="large", start_timeout=0.5, options={"num_cpus": 99}):
                pass

    async def test_open_what_a_function_says(self, store: str) -> None:
        """Here a sealed store, from which idle actors come back; no plain text is in it, and no key is sent."""
        async with RayHosts(sealed_system, name="sealed", options={"num_cpus": 0}) as hosts:
            alice = hosts.ref(Account, "alice")
            await alice.ask(Deposit(5, "a secret"))
            async with asyncio.timeout(20):
                while (await hosts.describe())[0].live:
                    pass

            assert (await alice.ask(State())).balance == 5

        with redis.Redis.from_url(store) as client:
            found = b"".join(client.dump(key) for key in client.scan_iter("{perdure*"))
        assert found
        assert b"a secret" not in found


class TestThePage:
    async def test_does_what_it_says(self, url: str, modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its module is one that the nodes have."""
        module, program = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[:2]
        (modules / "bank.py").write_text(module)
        monkeypatch.syspath_prepend(modules)
        names: dict[str, Any] = {"__name__": __name__}
        exec(program.replace("count=4", "count=1"), names)

        assert await names["main"](url) == 10

    async def test_has_nodes_that_do_what_it_says(
        self, modules: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its module is one that the nodes have."""
        module, program = re.findall(r"```python\n(# shop.py.*?)```.*?```python\n(.*?)```", PAGE, re.DOTALL)[0]
        (modules / "shop.py").write_text(module)
        monkeypatch.syspath_prepend(modules)
        names: dict[str, Any] = {"__name__": __name__}
        exec(program, names)

        await names["main"]()

        assert capsys.readouterr().out.splitlines() == re.findall(r"# prints (.*)", program)

    @pytest.mark.parametrize("name", ["count", "name", "namespace", "detached", "max_concurrency"])
    def test_knows_the_defaults(self, name: str) -> None:
        """And those of times, in seconds."""
        default = inspect.signature(RayHosts).parameters[name].default
        said = f'"{default}"' if isinstance(default, str) else str(default)

        assert re.search(rf"`{name}`.* \(`?{said}`?\)", PAGE)

    @pytest.mark.parametrize("name", ["ask_timeout", "start_timeout"])
    def test_knows_the_times(self, name: str) -> None:
        """In seconds."""
        assert f"`{name}` ({inspect.signature(RayHosts).parameters[name].default:g} s)" in PAGE


class TestTwoWriters:
    async def test_never_fork_a_log(self, hosts: RayHosts, others: RayHosts, system: ActorSystem, key: str) -> None:
        """The last that came to an actor has it, from then on and alone; what the first was refused is in no log."""
        acknowledged: list[str] = []

        async def deposit(hosts: RayHosts, name: str, numbers: Iterable[int]) -> None:
            for number in numbers:
                await hosts.ref(Account, key).ask(Deposit(1, f"{name} {number}"))
                acknowledged.append(f"{name} {number}")

        await deposit(hosts, "first", range(1))
        ends = await asyncio.gather(
            deposit(hosts, "first", range(1, 2_000)), deposit(others, "last", range(30)), return_exceptions=True
        )

        assert [type(end) for end in ends] == [Superseded, type(None)]
        assert Counter(await notes(system, f"Account/{key}")) == Counter(acknowledged)

    async def test_are_told_apart_by_the_store(self, hosts: RayHosts, others: RayHosts, key: str) -> None:
        """A host that still believes that it has an actor, which another has claimed, is refused, and told by whom."""
        account = hosts.ref(Account, key)
        await account.ask(Deposit(5))
        assert await others.ref(Account, key).ask(Deposit(7)) == 12

        for message in (Deposit(1), State()):
            with pytest.raises(Superseded, match="'others-0, process") as refused:
                await account.ask(message)
            assert (refused.value.epoch, refused.value.owner_epoch) == (1, 2)

        assert await others.ref(Account, key).ask(Deposit(1)) == 13


def kill_process(machines: Machines, host: HostInfo) -> None:
    os.kill(host.pid, 9)


def kill_actor(machines: Machines, host: HostInfo) -> None:
    import ray

    ray.kill(ray.get_actor(f"perdure-{host.number}", namespace="perdure"), no_restart=False)


def kill_node(machines: Machines, host: HostInfo) -> None:
    machines.kill(host.node)


class TestALostHost:
    async def test_leaves_what_it_had_in_hand_unknown(self, hosts: RayHosts, key: str) -> None:
        """The error names the actor and the host; what is asked then waits until the host is back."""
        account, busy = [ref for ref in map(hosts.ref, repeat(Account), ascii_letters) if ref.host == "perdure-1"][:2]
        balance = await account.ask(Deposit(5))
        waiting = asyncio.ensure_future(busy.ask(Wait(60)))
        process = (await account.ask(State())).process

        os.kill(process, 9)

        with pytest.raises(HostLost, match="may have been handled") as lost:
            await waiting
        assert isinstance(lost.value, OutcomeUnknown)
        assert (lost.value.path, lost.value.host) == (busy.path, "perdure-1")
        assert await account.ask(Deposit(1)) == balance + 1

    @pytest.mark.parametrize("kill", [kill_process, kill_actor, kill_node])
    async def test_comes_back_with_all_that_was_acknowledged(
        self, hosts: RayHosts, machines: Machines, system: ActorSystem, key: str, kill: Callable[..., None]
    ) -> None:
        """Under load each acknowledged command is in its log once, an unknown one at most once, and no other."""
        lost = (await hosts.describe())[0]

        async def is_back() -> bool:
            return (await hosts.describe(timeout=90))[0].pid != lost.pid

        async with Load(hosts, [ref.key for some in "ab" for ref in apart(hosts, key + some)]) as load:
            await load.more(100)
            await asyncio.to_thread(kill, machines, lost)
            await until(is_back, seconds=90)
            await load.more(100)

        stored = [note for account in load.accounts for note in await notes(system, f"Account/{account}")]
        assert not Counter(load.acknowledged) - Counter(stored)
        assert max(Counter(stored).values()) == 1
        assert set(stored) <= {*load.acknowledged, *load.unknown}

    async def test_that_is_stopped_does_not_come_back(self, url: str, key: str) -> None:
        """Whoever asks then is told that nothing was sent."""
        async with RayHosts(url, name="brief", options={"num_cpus": 0}):
            account = (await RayHosts.find("brief")).ref(Account, key)
            await account.ask(Deposit(5))

        with pytest.raises(HostLost):
            await account.ask(Deposit(5))
        with pytest.raises(HostUnavailable, match="start the hosts"):
            await account.ask(Deposit(5))


class Stranger:
    """A host in which a node is, which Ray starts again when it was killed."""

    def __init__(self, hosts: RayHosts, host: HostInfo) -> None:
        self._hosts = hosts
        self._host = host
        self._leaving: asyncio.Task[None] | None = None

    def terminate(self) -> None:
        self._leaving = asyncio.ensure_future(self._hosts.stop())

    def kill(self) -> None:
        os.kill(self._host.pid, 9)


class TestRayRuntime(ActorRuntimeContract):
    """That of Ray, in a driver; the stranger is in a Ray actor, which Ray brings back."""

    patience = 60.0  # Ray starts processes

    @pytest.fixture
    def new_runtime(self) -> NewRuntime:
        return RayRuntime

    async def kill(self, ref: LocalRef[Any]) -> None:
        assert isinstance(ref, PerdureRef)
        await ref.actor.stop()

    @asynccontextmanager
    async def strangers(self, new_runtime: NewRuntime) -> AsyncIterator[tuple[Node, ActorRuntime, Any]]:
        async with AsyncExitStack() as stack:
            own = await stack.enter_async_context(node("strangers", "a"))
            runtime = await stack.enter_async_context(new_runtime(own))
            hosts = await stack.enter_async_context(RayHosts(stranger, name="strangers", options={"num_cpus": 0}))

            async def start() -> Stranger:
                [host] = await hosts.describe()
                return Stranger(hosts, host)

            yield own, runtime, start


def test_the_runtime_keeps_the_contract_in_a_ray_actor_too(machines: object) -> None:
    """There the event loop is one of Ray's, in a thread that is not the main one."""
    import ray

    examiner = ray.remote(num_cpus=0)(Examiner).remote()

    assert ray.get(examiner.examine.remote(rules_of_one_process())) == {}


class TestANode:
    async def test_in_a_ray_actor_has_its_name(self) -> None:
        """It is found by it, and its actors by theirs."""
        async with (
            RayHosts(greeters, name="greeters", options={"num_cpus": 0}),
            RayRuntime(ports=ports("greeters")) as runtime,
        ):
            await until(lambda: [ref.node for ref in runtime.members("greeters")] == ["greeters-0"], seconds=30)

            assert await runtime.remote("greeters-0", "greeter").ask("ann") == "hello ann"

    async def test_meets_others_though_the_register_was_lost(self) -> None:
        """Which has forgotten who is there, and not the secret of all; a beat later it knows them again."""
        import ray

        async with node("lost", "a") as a:
            ray.kill(ray.get_actor(NAME, namespace="perdure"), no_restart=False)

            async with node("lost", "b") as b:
                await until(lambda: (a.members, b.members) == (("b",), ("a",)), seconds=30)

    async def test_is_in_a_process_of_the_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else it says what to do."""
        import ray

        monkeypatch.setattr(ray, "is_initialized", lambda: False)

        with pytest.raises(InvalidRuntime, match=r"call ray\.init\(\) first"):
            RayRuntime()
        with pytest.raises(InvalidTransport, match=r"call ray\.init\(\) first"):
            async with node("alone", "a"):
                pass


class TestRayPorts(MembershipContract):
    """As a membership."""

    @pytest.fixture
    def new_ports(self, key: str) -> NewPorts:
        def make() -> tuple[RayPorts, RayPorts]:
            both = ports(key)
            return both, both

        return make
