"""Who is found by whom in a Ray cluster, and by what URL. Ray is not needed for it."""

from __future__ import annotations

from typing import Any

import pytest

from perdure_replication import open_ports
from perdure_replication.errors import InvalidRuntime, InvalidTransport
from perdure_replication.ray import RayPorts, RayRuntime, _meeting
from perdure_replication.ray._meeting import Register
from perdure_replication.runtime import ActorGroups, open_runtime
from perdure_replication.testing import TestRuntime, TestState


class Time:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def register(time: Time) -> Register:
    return Register(b"a secret", time)


class TestTheRegister:
    def test_introduces_who_comes_to_those_of_its_cluster(self, register: Register) -> None:
        """And to nobody else, nor to itself."""
        register.enter("one", ("a", 1, "10.0.0.1:1"))
        register.enter("other", ("b", 1, "10.0.0.2:1"))

        assert register.enter("one", ("c", 1, "10.0.0.3:1")) == [("a", 1, "10.0.0.1:1")]
        assert register.enter("one", ("a", 1, "10.0.0.1:1")) == [("c", 1, "10.0.0.3:1")]

    def test_gives_each_life_a_greater_incarnation(self, register: Register) -> None:
        """Whatever the clocks of the nodes say, and what it has heard of."""
        first = register.claim("one", "a", 7)
        second = register.claim("one", "a", 3)
        register.enter("one", ("a", 20, ""))

        assert (first, second, register.claim("one", "a", 3)) == (7, 8, 21)
        assert register.claim("other", "a", 3) == 3

    def test_takes_a_name_for_its_latest_life(self, register: Register) -> None:
        """One that is over is not passed on, and may leave without harm to the next."""
        register.enter("one", ("a", 2, "new"))
        register.enter("one", ("a", 1, "old"))
        register.leave("one", "a", 1)

        assert register.enter("one", ("b", 1, "")) == [("a", 2, "new")]

    def test_passes_nobody_on_who_has_left(self, register: Register) -> None:
        register.enter("one", ("a", 1, ""))
        register.leave("one", "a", 1)

        assert register.enter("one", ("b", 1, "")) == []

    def test_forgets_who_is_silent_for_a_minute(self, register: Register, time: Time) -> None:
        """Not its incarnation."""
        register.enter("one", ("a", 5, ""))
        time.seconds = 61.0

        assert register.enter("one", ("b", 1, "")) == []
        assert register.claim("one", "a", 1) == 6

    def test_remembers_as_many_names_as_it_may(self, register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
        """And forgets who came the longest ago."""
        monkeypatch.setattr(_meeting, "MOST_NAMES", 2)
        for name in ("a", "b", "a", "c"):
            register.claim("one", name, 5)

        assert [register.claim("one", name, 5) for name in ("a", "b")] == [7, 5]


class TestAUrl:
    @pytest.mark.usefixtures("entry_points")
    def test_opens_the_ports_of_a_namespace(self) -> None:
        """Both in one."""
        transport, membership = open_ports("ray://shop?port=7400&beat=2.5&patience=3", cluster="bank")

        assert transport is membership
        assert isinstance(transport, RayPorts)

    @pytest.mark.usefixtures("entry_points")
    @pytest.mark.parametrize(
        ("url", "options", "reason"),
        [
            ("ray://?prot=1", {}, "there is no prot; there are beat, patience, port"),
            ("ray://", {"secret": b""}, "there is no secret; there are settings"),
            ("ray://?beat=soon", {}, "beat is a number, not 'soon'"),
            ("ray://?beat=0", {}, "beat is more than 0 seconds"),
            ("ray://?beat=30", {}, "at most 20"),
            ("ray://?patience=0", {}, "patience is more than 0 seconds"),
            ("ray://?port=70000", {}, "0 to 65535"),
        ],
    )
    def test_that_cannot_be_right_is_refused(self, url: str, options: dict[str, object], reason: str) -> None:
        with pytest.raises(InvalidTransport, match=reason):
            open_ports(url, **options)


class TestARuntime:
    @pytest.mark.usefixtures("entry_points")
    async def test_is_opened_by_its_name_on_a_node_of_any_kind(self) -> None:
        """For which no Ray cluster is needed."""
        async with TestRuntime(ActorGroups) as nodes, open_runtime("ray", node=await nodes.start("a")) as runtime:
            double = await runtime.spawn("double", lambda number: 2 * number)

            assert isinstance(runtime, RayRuntime)
            assert await double.ask(4) == 8

    @pytest.mark.parametrize("given", [{"name": "b"}, {"cluster": "b"}, {"states": [TestState]}, {"ports": RayPorts()}])
    async def test_takes_a_node_or_what_one_is_made_of(self, given: dict[str, Any]) -> None:
        async with TestRuntime(ActorGroups) as nodes:
            node = await nodes.start("a")

            with pytest.raises(InvalidRuntime, match="pass these or the node"):
                RayRuntime(node, **given)

    def test_is_of_one_cluster(self) -> None:
        """That of its ports, or the one that it is given."""
        with pytest.raises(InvalidRuntime, match="the ports have a cluster"):
            RayRuntime(cluster="a", ports=RayPorts("b"))
