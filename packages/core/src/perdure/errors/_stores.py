"""What goes wrong with stores, and on the way to them."""

from __future__ import annotations

from perdure.errors._root import PerdureError


class BackendError(PerdureError):
    """The root of what goes wrong in finding a backend."""


class UnknownBackend(BackendError):
    """No installed plug-in serves the URL's scheme as `what` was looked for: a backend, a snapshot store."""

    def __init__(self, scheme: str, installed: tuple[str, ...], hint: str, what: str = "backend") -> None:
        super().__init__(scheme, installed, hint, what)
        self.scheme = scheme
        self.installed = installed
        self.hint = hint
        self.what = what

    def __str__(self) -> str:
        return f"no {self.what} for {self.scheme!r}; installed: {', '.join(self.installed) or 'none'}. {self.hint}"


class BrokenPlugin(BackendError):
    """A plug-in is installed but cannot be used; the cause says why."""

    def __init__(self, scheme: str, distribution: str, reason: str, what: str = "backend") -> None:
        super().__init__(scheme, distribution, reason, what)
        self.scheme = scheme
        self.distribution = distribution
        self.reason = reason
        self.what = what

    def __str__(self) -> str:
        return f"the {self.what} {self.scheme!r} of distribution {self.distribution} cannot be used: {self.reason}"


class StoreError(PerdureError):
    """The store failed at `operation`. Unless the class says otherwise, nothing was written."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason}"


class CreateStoreError(StoreError):
    """The store, or a part of it, can be neither opened nor created."""


class StoreMissing(CreateStoreError):
    """There is no store at `place`, and none was to be made."""

    def __init__(self, place: str) -> None:
        Exception.__init__(self, place)
        self.operation = "open"
        self.reason = f"there is no store at {place}; nothing was made"
        self.place = place

    def __str__(self) -> str:
        return self.reason


class ForeignCollection(StoreError):
    """A collection is used otherwise, and is not touched."""

    def __init__(self, collection: str, reason: str) -> None:
        Exception.__init__(self, collection, reason)
        self.operation = "commit"
        self.reason = reason
        self.collection = collection

    def __str__(self) -> str:
        return f"the collection {self.collection!r} is not touched: {self.reason}"


class EntryNotFound(StoreError):
    """Nothing is stored under `key`, which is `collection/prefix/key` or `state/prefix`."""

    def __init__(self, key: str) -> None:
        Exception.__init__(self, key)
        self.operation = "get"
        self.reason = "not found"
        self.key = key

    def __str__(self) -> str:
        return f"nothing is stored under {self.key!r}"


class OutcomeUnknown(StoreError):
    """The write may or may not have happened: read before deciding anything."""


class StoreClosed(StoreError):
    """The store was closed before this call."""

    def __init__(self, operation: str, reason: str = "the store is closed") -> None:
        super().__init__(operation, reason)


class StoreUnavailable(StoreError):
    """The store does not answer now; the same call may succeed later."""


class StoreBusy(StoreUnavailable):
    """Another writer held the store for longer than the limit."""


class InvalidIdentifier(PerdureError, ValueError):
    """A name, a key or an id breaks the rule that keeps it valid in every store."""

    def __init__(self, what: str, value: str, rule: str) -> None:
        super().__init__(what, value, rule)
        self.what = what
        self.value = value
        self.rule = rule

    def __str__(self) -> str:
        shown = self.value if len(self.value) <= 64 else f"{self.value[:48]}… ({len(self.value)} characters)"
        return f"invalid {self.what} {shown!r}: {self.rule}"
