"""What can go wrong, and what to do about it.

PerdureError
├── ActorError
│   ├── ActorStopped          the actor, or its system, is over: make a new one
│   ├── AskTimeout            no reply in time; the message may still be handled
│   ├── AskedItself           an actor waited for its own reply: call the method instead
│   ├── MailboxFull           no room for a told message in time: slow down, or enlarge the mailbox
│   ├── NameTaken             another live actor has this name
│   ├── NoRoutee              a router has no live actor left: add one
│   ├── Overflowed            a subscriber is too slow for its buffer
│   ├── Rejected              raise it to refuse a message: the asker gets it, nothing restarts
│   │   └── SubjectForgotten  what concerns a forgotten subject can neither be read nor added to
│   ├── StartTimeout          an actor did not start in time
│   ├── StashFull             an actor puts too many messages aside
│   ├── Superseded            another system has claimed the actor: send there, or reclaim it
│   ├── SystemCrashed         an actor without a parent escalated, or the system was told to crash
│   └── Unhandled             the handler gave no reply: is there a `case` for the message?
├── ApplyError                `apply` cannot fold an event: nothing was stored
├── ConflictError             another writer was first: reload and decide again
│   └── StaleRevision         the caller expected another revision; it is `Rejected` too: the asker alone gets it
├── CorruptionError           a stored record cannot be trusted: restore it
│   ├── DamagedSnapshot       a snapshot cannot be trusted: older ones may be, and the events are
│   ├── ChainBroken           what is stored is not what its chain, or an anchor, tells of
│   │   ├── RolledBack        a durable state is older than an anchor knows it
│   │   └── TailCut           a log ends before its anchored head
│   └── SealError             a sealed record cannot be opened, or one is not sealed
│       ├── KeyMissing        its key is not in the keyring: add it
│       ├── WrongKey          the keyring has another key of this version: load the right one
│       ├── SubjectKeyMissing its subject has no key in this store: restore the keys of subjects
│       ├── PlaintextRefused  a record that is not sealed, where all have to be
│       ├── RecordMoved       a record that was sealed for another place
│       └── RecordAltered     a record that is not as it was sealed
├── EventsNeeded              events that no snapshot covers are to be removed: save one first
├── EventsRemoved             a log that is followed does not reach back so far: begin later
├── EventTypeError            an actor persists or meets an event type that it does not declare
├── EvolutionError            an actor's `Evolution` cannot be right: mend it
├── InvalidIdentifier         a name or an id that no store can hold: choose another
├── InvalidTag                an event's tags break a rule: nothing was stored
├── KeyringError              a key, or where keys come from, cannot be right: the message never shows the key
│   └── UnknownKey            the keyring has no such version: add it
├── PersistInProgress         two persists of one actor at once: pass all events to one
├── RecordTooLarge            over the limit: store a reference instead
├── SealedStore               a store and the sealing it is used with do not agree
├── StateUnknown              the state is re-read before the next message
├── UpcastError               a stored version cannot be made a current one: mend its upcaster
├── BackendError
│   ├── UnknownBackend        no installed plug-in serves the URL: install one
│   └── BrokenPlugin          a plug-in fails to load: mend or remove its distribution
└── StoreError                the store failed; nothing was written, unless it says otherwise
    ├── CreateStoreError      the store cannot be opened or created: look at the path
    ├── EntryNotFound         nothing under this key
    ├── OutcomeUnknown        a write may or may not have happened: read before deciding
    ├── StoreClosed           used after close
    └── StoreUnavailable      the store does not answer: retry later
        └── StoreBusy         another writer holds the store

Each error has typed fields, from which the class builds its message.
"""

from __future__ import annotations


class PerdureError(Exception):
    """The root of all errors that perdure raises on purpose."""


class ActorError(PerdureError):
    """The root of what goes wrong between actors."""


class ActorStopped(ActorError):
    """The message was not handled, for its actor is over."""

    def __init__(self, path: str, reason: str = "the actor is stopped") -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class AskTimeout(ActorError, TimeoutError):
    """No reply came within `seconds`. The message is not withdrawn: it may still be handled."""

    def __init__(self, seconds: float, path: str = "") -> None:
        super().__init__(seconds, path)
        self.seconds = seconds
        self.path = path

    def __str__(self) -> str:
        return f"{self.path or 'the actor'} did not reply within {self.seconds:g} s; the message may still be handled"


class AskedItself(ActorError):
    """An actor would have waited for itself for ever: at first hand, or through the actors in `via`, in turn."""

    def __init__(self, path: str, via: tuple[str, ...] = ()) -> None:
        super().__init__(path, via)
        self.path = path
        self.via = via

    def __str__(self) -> str:
        if self.via:
            through = " -> ".join(self.via)
            return f"{self.path} waits for {through}, which would wait for {self.path} for ever: tell, do not ask"
        return f"{self.path} asks itself inside a handler and would wait for ever: call the method, or tell"


class MailboxFull(ActorError, TimeoutError):
    """A told message found no room in the mailbox for `seconds`, 0 where it did not wait. It was not sent."""

    def __init__(self, path: str, capacity: int, seconds: float) -> None:
        super().__init__(path, capacity, seconds)
        self.path = path
        self.capacity = capacity
        self.seconds = seconds

    def __str__(self) -> str:
        so_long = f" for {self.seconds:g} s" if self.seconds else ""
        return (
            f"{self.path} had {self.capacity} messages waiting{so_long}, and no room for another: "
            f"send less, or set mailbox_capacity"
        )


class NameTaken(ActorError):
    """A live actor has this path already."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is the path of a live actor: choose another name, or stop that one first"


class NoRoutee(ActorError):
    """A router has no live actor to pass a message to."""

    def __init__(self, message_type: str) -> None:
        super().__init__(message_type)
        self.message_type = message_type

    def __str__(self) -> str:
        return f"no live actor is left behind the router for {self.message_type}: add one"


class Overflowed(ActorError):
    """A subscription with the policy `fail` found its buffer full, and ended."""

    def __init__(self, capacity: int, missed: int) -> None:
        super().__init__(capacity, missed)
        self.capacity = capacity
        self.missed = missed

    def __str__(self) -> str:
        return f"the subscriber is too slow: {self.capacity} events were waiting for it when another came"


class Rejected(ActorError):
    """Raise it in a handler to refuse a message: the asker alone gets it, and the actor goes on."""


class StartTimeout(ActorError, TimeoutError):
    """An actor did not start within its `start_timeout`."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(path, seconds)
        self.path = path
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.path} did not start within {self.seconds:g} s"


class StashFull(ActorError):
    """An actor has put as many messages aside as its mailbox may hold."""

    def __init__(self, path: str, capacity: int) -> None:
        super().__init__(path, capacity)
        self.path = path
        self.capacity = capacity

    def __str__(self) -> str:
        return f"{self.path} has put {self.capacity} messages aside, and may not put aside more: unstash some"


class Superseded(ActorError):
    """Another owner has claimed an actor since this system did by `epoch`. Nothing was stored.

    The actor is stopped here, whatever its supervision says. `owner` is the present one's name, "" if it is not known,
    and `owner_epoch` its epoch.
    """

    def __init__(self, persistence_id: str, epoch: int, owner: str = "", owner_epoch: int = 0) -> None:
        super().__init__(persistence_id, epoch, owner, owner_epoch)
        self.persistence_id = persistence_id
        self.epoch = epoch
        self.owner = owner
        self.owner_epoch = owner_epoch

    def __str__(self) -> str:
        by = f"{self.owner!r}, by epoch {self.owner_epoch}" if self.owner else "another system"
        return (
            f"{self.persistence_id}: epoch {self.epoch} of this system holds no more, for it was claimed since "
            f"by {by}: send to that one, or take it back with system.reclaim(ref)"
        )


class SystemCrashed(ActorError):
    """The system ended because of an error that nobody below could handle; the cause is that error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the system crashed: {self.reason}"


class Unhandled(ActorError):
    """A handler returned None for a message whose reply type has no None."""

    def __init__(self, path: str, message_type: str, reply_type: str) -> None:
        super().__init__(path, message_type, reply_type)
        self.path = path
        self.message_type = message_type
        self.reply_type = reply_type

    def __str__(self) -> str:
        return (
            f"{self.path} gave no reply to {self.message_type}, which promises {self.reply_type}: "
            f"does its handler have a case for {self.message_type}?"
        )


class ApplyError(PerdureError):
    """`apply` returned None for a state that cannot have been changed in place. Nothing was stored."""

    def __init__(self, persistence_id: str, event_type: str, state_type: str) -> None:
        super().__init__(persistence_id, event_type, state_type)
        self.persistence_id = persistence_id
        self.event_type = event_type
        self.state_type = state_type

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: apply returned None for {self.event_type}, and its state, an immutable "
            f"{self.state_type}, cannot have been changed in place: does apply have a case for {self.event_type}?"
        )


class ConflictError(PerdureError):
    """Another writer has appended first. The log did not fork: reload and decide again."""

    def __init__(self, persistence_id: str, expected: int, actual: int, number: str = "sequence number") -> None:
        super().__init__(persistence_id, expected, actual, number)
        self.persistence_id = persistence_id
        self.expected = expected
        self.actual = actual
        self.number = number

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: expected the log to end at {self.number} {self.expected}, "
            f"but it ends at {self.actual}: another writer was first"
        )


class StaleRevision(ConflictError, Rejected):
    """A save or a delete named a revision that is not the present one. Nothing was stored; the asker alone gets it."""

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: revision {self.expected} was expected, and the present one is {self.actual}: "
            f"read it and decide again"
        )


class CorruptionError(PerdureError):
    """A stored record is missing, damaged or not understood."""

    def __init__(self, persistence_id: str, sequence_number: int, reason: str, number: str = "sequence number") -> None:
        super().__init__(persistence_id, sequence_number, reason, number)
        self.persistence_id = persistence_id
        self.sequence_number = sequence_number
        self.reason = reason
        self.number = number

    def __str__(self) -> str:
        return f"{self.persistence_id}, {self.number} {self.sequence_number}: {self.reason}"


class DamagedSnapshot(CorruptionError):
    """What is stored for a snapshot is not what was saved. Those with lesser sequence numbers may be whole."""


class ChainBroken(CorruptionError):
    """What is stored is not that of which its chain, or an anchor, tells: it was removed, put in, or exchanged."""


class RolledBack(ChainBroken):
    """A durable state is one from before its anchor, or gone."""

    def __init__(self, persistence_id: str, sequence_number: int, anchored: int) -> None:
        Exception.__init__(self, persistence_id, sequence_number, anchored)
        self.persistence_id = persistence_id
        self.sequence_number = sequence_number
        self.anchored = anchored
        self.reason = f"the state is of this revision, and an anchor has known it at {anchored}: restore it"
        self.number = "revision"


class TailCut(ChainBroken):
    """A log ends before its anchored head."""

    def __init__(self, persistence_id: str, sequence_number: int, anchored: int) -> None:
        Exception.__init__(self, persistence_id, sequence_number, anchored)
        self.persistence_id = persistence_id
        self.sequence_number = sequence_number
        self.anchored = anchored
        self.reason = f"the log ends here, and an anchor has known it up to {anchored}: its tail was cut off"
        self.number = "sequence number"


class SealError(CorruptionError):
    """A sealed record cannot be opened, or one is not sealed that has to be. No content of it is ever in the text."""

    def __init__(self, persistence_id: str, sequence_number: int, reason: str) -> None:
        super().__init__(persistence_id, sequence_number, reason)
        self.args = (persistence_id, sequence_number, reason)


class KeyMissing(SealError):
    """The key of a record is not in the keyring."""

    def __init__(self, persistence_id: str, sequence_number: int, version: int, versions: tuple[int, ...]) -> None:
        has = f"has {', '.join(map(str, versions))}"
        super().__init__(
            persistence_id,
            sequence_number,
            f"it is sealed with key version {version}, and the keyring {has}: add that key to the keyring",
        )
        self.args = (persistence_id, sequence_number, version, versions)
        self.version = version
        self.versions = versions


class WrongKey(SealError):
    """The keyring has another key under the version that a record was sealed with; both are told by fingerprints."""

    def __init__(self, persistence_id: str, sequence_number: int, version: int, sealed: str, loaded: str) -> None:
        which = f"version {version} of the keyring" if version else "its subject's key"
        super().__init__(
            persistence_id,
            sequence_number,
            f"it is sealed with a key of the fingerprint {sealed}, and {which} has {loaded}: load the right one",
        )
        self.args = (persistence_id, sequence_number, version, sealed, loaded)
        self.version = version
        self.sealed = sealed
        self.loaded = loaded


class SubjectKeyMissing(SealError):
    """A record is sealed with the key of a subject, and the store has none for it, not even that it was forgotten."""

    def __init__(self, persistence_id: str, sequence_number: int) -> None:
        super().__init__(
            persistence_id,
            sequence_number,
            "it is sealed with its subject's key, which is not in the store: restore the collection subject_keys",
        )
        self.args = (persistence_id, sequence_number)


class PlaintextRefused(SealError):
    """A record is not sealed, where all have to be: it was not stored by this system, or before it sealed."""

    def __init__(self, persistence_id: str, sequence_number: int) -> None:
        super().__init__(
            persistence_id,
            sequence_number,
            "it is not sealed, so anybody may have written it; if it is from before the store was sealed, "
            "set plaintext_until and reseal the store",
        )
        self.args = (persistence_id, sequence_number)


class RecordMoved(SealError):
    """A record was sealed for another persistence id, sequence number or collection than it stands under."""

    def __init__(self, persistence_id: str, sequence_number: int) -> None:
        super().__init__(
            persistence_id, sequence_number, "it was sealed for another place, and moved or copied here: restore it"
        )
        self.args = (persistence_id, sequence_number)


class RecordAltered(SealError):
    """A record, or its header, is not as it was sealed."""


class EventsNeeded(PerdureError):
    """The events up to `to` are to be removed, and the actor could be recovered without those up to `covered` only."""

    def __init__(self, persistence_id: str, to: int, covered: int) -> None:
        super().__init__(persistence_id, to, covered)
        self.persistence_id = persistence_id
        self.to = to
        self.covered = covered

    def __str__(self) -> str:
        have = f"covers those up to {self.covered} only" if self.covered else "is there"
        return (
            f"{self.persistence_id}: the events up to {self.to} cannot be removed, for "
            f"{'the newest snapshot' if self.covered else 'no snapshot'} {have}: await save_snapshot() first"
        )


class EventsRemoved(PerdureError):
    """The events from `asked` on are to be read, and compaction has left only those from `first` on."""

    def __init__(self, persistence_id: str, asked: int, first: int) -> None:
        super().__init__(persistence_id, asked, first)
        self.persistence_id = persistence_id
        self.asked = asked
        self.first = first

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: event {self.asked} is not in the log, which begins at {self.first}: "
            f"what was before was removed by compaction; begin after {self.first - 1}, or from the actor's state"
        )


class EventTypeError(PerdureError, TypeError):
    """An event is none of the types that the actor declares, or a declaration cannot be used."""


class EvolutionError(PerdureError, ValueError):
    """What an `Evolution` says of `what` (an event or the state) cannot be right. It is found before anything is read.

    `owner` is the actor type, empty where the mistake is seen before it is known; `version` may be None.
    """

    def __init__(self, what: str, version: int | None, reason: str, owner: str = "") -> None:
        super().__init__(what, version, reason, owner)
        self.what = what
        self.version = version
        self.reason = reason
        self.owner = owner

    def __str__(self) -> str:
        version = "" if self.version is None else f" version {self.version}"
        owner = f"{self.owner}: " if self.owner else ""
        return f"{owner}{self.what}{version}: {self.reason}"


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


class InvalidTag(PerdureError, ValueError):
    """The tags of an event break a rule. Nothing was stored."""

    def __init__(self, persistence_id: str, manifest: str, reason: str) -> None:
        super().__init__(persistence_id, manifest, reason)
        self.persistence_id = persistence_id
        self.manifest = manifest
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.persistence_id}: the tags of {self.manifest} cannot be stored: {self.reason}"


class KeyringError(PerdureError, ValueError):
    """A key, a keyring or a place that keys come from cannot be used. No part of a key is ever in an error."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class UnknownKey(KeyringError):
    """The keyring has no key of this version, only of `versions`. What that key has sealed is not lost with it."""

    def __init__(self, version: int, versions: tuple[int, ...]) -> None:
        Exception.__init__(self, version, versions)
        self.what = f"key {version}"
        self.reason = "not in the keyring"
        self.version = version
        self.versions = versions

    def __str__(self) -> str:
        known = ", ".join(map(str, self.versions[-8:]))
        earlier = "…, " if len(self.versions) > 8 else ""
        return (
            f"key {self.version} is not in the keyring, which has {earlier}{known}: "
            f"add it to the source of the keyring and reload(), or add() it"
        )


class PersistInProgress(PerdureError):
    """An actor began a persist while another of its own was under way."""

    def __init__(self, persistence_id: str) -> None:
        super().__init__(persistence_id)
        self.persistence_id = persistence_id

    def __str__(self) -> str:
        return f"{self.persistence_id} is persisting already: await it first, or pass all events to one persist"


class RecordTooLarge(PerdureError, ValueError):
    """A record is over the size limit. Nothing was stored."""

    def __init__(self, persistence_id: str, manifest: str, size: int, limit: int) -> None:
        super().__init__(persistence_id, manifest, size, limit)
        self.persistence_id = persistence_id
        self.manifest = manifest
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: a record of {self.manifest} has {self.size:,} bytes, over {self.limit:,}: "
            f"keep the bulk elsewhere and store a reference, or raise max_record_bytes"
        )


class SealedStore(PerdureError):
    """A store and the sealing with which it is used do not agree. Nothing was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the store is sealed: {self.reason}"


class StateUnknown(PerdureError):
    """The state in memory cannot be trusted after a failed persist; it is re-read before the next message."""

    def __init__(self, persistence_id: str) -> None:
        super().__init__(persistence_id)
        self.persistence_id = persistence_id

    def __str__(self) -> str:
        return (
            f"{self.persistence_id}: the state is unknown after a failed persist and is re-read before the next message"
        )


class SubjectForgotten(Rejected):
    """The key of a subject was destroyed: what is stored of it cannot be read, by anybody, and nothing is added."""

    def __init__(self, persistence_id: str) -> None:
        super().__init__(persistence_id)
        self.persistence_id = persistence_id

    def __str__(self) -> str:
        return f"{self.persistence_id}: its subject was forgotten, so what is stored of it can never be read again"


class UpcastError(PerdureError):
    """A stored document of `what` (an event or the state) cannot be brought to the current version.

    `version` is that of the step that failed, or that is missing; what an upcaster raised is the cause.
    """

    def __init__(self, what: str, version: int, reason: str) -> None:
        super().__init__(what, version, reason)
        self.what = what
        self.version = version
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} version {self.version}: {self.reason}"


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


class EntryNotFound(StoreError):
    """Nothing is stored under `key`, which is `collection/prefix/key` or `state/prefix`."""

    def __init__(self, key: str) -> None:
        Exception.__init__(self, key)
        self.operation = "get"
        self.reason = "not found"
        self.key = key

    def __str__(self) -> str:
        return f"nothing is stored under {self.key!r}"
