"""How a URL finds the ports of a node."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.errors import BrokenPlugin, UnknownBackend
from perdure.security import EncryptedKey, write_key_file
from perdure_replication import MemoryHub, Node, Ports, open_ports
from perdure_replication.errors import InvalidTransport
from perdure_replication.tcp import TcpMembership, TcpTransport
from perdure_replication.testing import TestState

GROUP = "perdure.transports"

pytestmark = pytest.mark.usefixtures("entry_points")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a distribution with a transport of some scheme."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(scheme: str, value: str, name: str = "") -> None:
        name = name or f"somebody_{scheme}"
        info = tmp_path / f"{name}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{scheme} = {value}\n")
        importlib.invalidate_caches()

    return install


async def test_nodes_in_memory_find_each_other_by_name() -> None:
    """Those of one name and one cluster, as long as one of them lives."""
    one, other, foreign = [
        open_ports("memory://here", cluster=cluster) for cluster in ("perdure", "perdure", "elsewhere")
    ]
    async with (
        Node("a", [TestState], transport=one.transport, membership=one.membership) as a,
        Node("b", [TestState], transport=other.transport, membership=other.membership) as b,
        Node("a", [TestState], transport=foreign.transport, membership=foreign.membership) as c,
    ):
        assert (a.members, b.members, c.members) == (("b",), ("a",), ())


def test_tcp_takes_everything_from_the_url(tmp_path: Path) -> None:
    """A key file is named there; keys are not."""
    key_file = tmp_path / "cluster.key"
    write_key_file(key_file)

    ports = open_ports(
        f"tcp://0.0.0.0:7400?advertise=10.0.0.7:7400&seed=10.0.0.1:7400&seed=10.0.0.2:7400&schema=2&secret={key_file}"
    )

    assert isinstance(ports.transport, TcpTransport)
    assert isinstance(ports.membership, TcpMembership)
    assert ports.membership._seeds == ["10.0.0.1:7400", "10.0.0.2:7400"]


def test_tcp_takes_objects_beside_the_url() -> None:
    """A secret that is no file."""
    assert isinstance(open_ports("tcp://127.0.0.1:0", secret=EncryptedKey.generate()), Ports)
    assert isinstance(open_ports("tcp://127.0.0.1:0?insecure=true"), Ports)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("tcp://127.0.0.1:0", "say how connections are secured"),
        ("tcp://127.0.0.1:0?insecure=maybe", "insecure is true or anywhere, not 'maybe'"),
        ("tcp://127.0.0.1:0?sede=x", "it has no option sede; there are advertise, authority, certificate"),
        ("tcp://127.0.0.1:0?key=x", "certificate, key, authority go together"),
        ("tcp://127.0.0.1?insecure=true", "it is no address"),
        ("127.0.0.1:0", "it is no URL"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: str, said: str) -> None:
    """In words that say what to do."""
    with pytest.raises(InvalidTransport, match=said):
        open_ports(url)


def test_an_unknown_option_is_refused() -> None:
    """By name."""
    with pytest.raises(InvalidTransport, match="there is no sercet=; there are certificates, secret, settings"):
        open_ports("tcp://127.0.0.1:0", sercet=1)
    with pytest.raises(InvalidTransport, match="there are no options"):
        open_ports("memory://", secret=1)


def test_an_unknown_scheme_says_what_is_installed() -> None:
    """By name."""
    with pytest.raises(UnknownBackend, match=r"no transport for 'carrier'; installed: memory,.* tcp"):
        open_ports("carrier://pigeon")


def test_a_plugin_that_fails_is_named(install: Callable[[str, str], None]) -> None:
    """With its distribution, and only for who asks for it."""
    install("broken", "nowhere_at_all:open")

    with pytest.raises(BrokenPlugin, match=r"the transport 'broken' of distribution somebody_broken 1\.2\.3"):
        open_ports("broken://")
    assert MemoryHub()


def test_two_plugins_of_one_scheme_are_refused(install: Callable[..., None]) -> None:
    """Both are named."""
    install("twice", "one:open", "first")
    install("twice", "other:open", "second")

    with pytest.raises(BrokenPlugin, match=r"first 1\.2\.3 and second 1\.2\.3"):
        open_ports("twice://")
