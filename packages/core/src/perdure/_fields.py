"""The fields that log records carry: `_log.warning(…, extra=fields(actor=path))`.

Their names are those of the attributes of spans and metrics; `docs/observability.md` lists them.
"""

from __future__ import annotations


def fields(
    *,
    actor: str | None = None,
    actor_type: str | None = None,
    message: str | None = None,
    persistence_id: str | None = None,
    sequence_number: int | None = None,
    sink: str | None = None,
    hook: str | None = None,
    error: BaseException | None = None,
) -> dict[str, object]:
    """Return the fields of a log record, without those that are None. Of an error, it is the type."""
    named = {
        "perdure.actor.path": actor,
        "perdure.actor.type": actor_type,
        "perdure.message.type": message,
        "perdure.persistence_id": persistence_id,
        "perdure.sequence_number": sequence_number,
        "perdure.sink": sink,
        "perdure.hook": hook,
        "error.type": None if error is None else type(error).__name__,
    }
    return {name: value for name, value in named.items() if value is not None}


class Withheld(Exception):  # it is shown in the place of an error, and never raised
    """Stands in a log for an error whose text may tell what is sealed: its type, and where it was raised."""

    @classmethod
    def of(cls, error: BaseException) -> Withheld:
        return cls(f"{type(error).__name__}, whose text is withheld").with_traceback(error.__traceback__)
