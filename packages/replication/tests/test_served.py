"""Whom a life of a node has served."""

from __future__ import annotations

from perdure_replication._served import Served

PEERS = ("a", "b")


def test_who_was_served_is_remembered_until_a_new_life() -> None:
    """Also when the same peers are served first thing in it."""
    served = Served(10)
    served.add(PEERS)
    served.add(PEERS)
    before = "a" in served

    served.clear()
    between = "a" in served
    served.add(PEERS)

    assert (before, between, "a" in served, "c" in served) == (True, False, True, False)


def test_there_is_an_end_to_names() -> None:
    """Past it the earlier ones are forgotten: such a peer is served as if it were new."""
    served = Served(4)

    for number in range(100):
        served.add((f"peer-{number}",))

    assert sum(f"peer-{number}" in served for number in range(100)) <= 5
    assert "peer-99" in served
