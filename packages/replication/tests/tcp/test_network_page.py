"""What docs/replication-network.md says is what happens."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from perdure_replication.errors import CannotListen
from perdure_replication.tcp import Certificates, TcpSettings, TcpTransport
from perdure_replication.tcp._refused import Reason
from perdure_replication.tcp._security import SharedSecret, Tls

from .test_session import Ends, greeting

PAGE = (Path(__file__).parents[4] / "docs" / "replication-network.md").read_text()
PROGRAM, ROTATION, TLS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[COMMANDS] = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


pytestmark = pytest.mark.usefixtures("entry_points")


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the code of the page in a folder of its own, and return what it defines."""
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {"__name__": __name__}
    for code in (PROGRAM, ROTATION, TLS):
        exec(code, made)
    return made


async def test_two_nodes_see_each_other(names: dict[str, Any]) -> None:
    """The first program does what it says."""
    try:
        assert await names["main"]() == "rome sees 7"
    except CannotListen:
        pytest.skip("somebody else has the ports of the page")


def test_keys_are_replaced_without_a_pause(names: dict[str, Any]) -> None:
    """Neighbours understand each other, in both directions, and the first and the last do not."""
    rings = [SharedSecret(ring) for ring in names["rotate"](bytes([1]) * 32, bytes([2]) * 32)]

    for one, other in pairwise(rings):
        assert Ends(one, other).run().stands
        assert Ends(other, one).run().stands
    assert not Ends(rings[0], rings[-1]).run().stands


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_makes_certificates_that_are_taken(names: dict[str, Any], tmp_path: Path) -> None:
    """By the commands of the page; they are for the name that they say."""
    for command in re.findall(r"^\$ (.*)$", COMMANDS, re.MULTILINE):
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd=tmp_path)
    own = Certificates("oslo.pem", "oslo.key", "ca.pem")

    ends = Ends(Tls(own), caller=greeting("oslo"), answerer=greeting("rome")).run()

    assert isinstance(names["transport"](), TcpTransport)
    assert "it says that it is 'rome', and its certificate is for oslo" in str(ends.refused[ends.caller])


def test_the_page_names_all_reasons() -> None:
    """And each of them is one."""
    table = PAGE[PAGE.index("| reason |") :]

    assert set(re.findall(r"`(\w+)`", re.sub(r"\|[^|]*\|$", "", table, flags=re.MULTILINE))) >= set(get_args(Reason))


@pytest.mark.parametrize(
    "name", ["suspicion", "silence", "backoff", "backoff_most", "handshake_timeout", "frame_timeout"]
)
def test_the_page_knows_the_defaults(name: str) -> None:
    """Of times."""
    assert f"`{name}` ({getattr(TcpSettings(), name):g} s)" in PAGE.replace("\n", " ")
