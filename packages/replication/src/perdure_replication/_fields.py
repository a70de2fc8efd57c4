"""The fields that log records carry: `_log.warning(…, extra=fields(node=name, peer=peer))`.

Those that perdure's own records carry too have the same names; `docs/observability.md` lists them.
"""

from __future__ import annotations


def fields(
    *,
    cluster: str | None = None,
    node: str | None = None,
    peer: str | None = None,
    state: str | None = None,
    topic: str | None = None,
    reason: str | None = None,
    actor: str | None = None,
    persistence_id: str | None = None,
    sequence_number: int | None = None,
    error: BaseException | None = None,
) -> dict[str, object]:
    """Return the fields of a log record, without those that are None or empty. Of an error, it is the type."""
    named = {
        "perdure.cluster": cluster,
        "perdure.node": node,
        "perdure.peer": peer,
        "perdure.state": state,
        "perdure.topic": topic,
        "perdure.reason": reason,
        "perdure.actor.path": actor,
        "perdure.persistence_id": persistence_id,
        "perdure.sequence_number": sequence_number,
        "error.type": None if error is None else type(error).__name__,
    }
    return {name: value for name, value in named.items() if value not in (None, "")}
