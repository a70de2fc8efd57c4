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
├── DamagedLine               a line of an exported file cannot be read: export again, or leave it out
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
├── TargetDiffers             a target holds what its source does not: use an empty one
├── UpcastError               a stored version cannot be made a current one: mend its upcaster
├── BackendError
│   ├── UnknownBackend        no installed plug-in serves the URL: install one
│   └── BrokenPlugin          a plug-in fails to load: mend or remove its distribution
└── StoreError                the store failed; nothing was written, unless it says otherwise
    ├── CreateStoreError      the store cannot be opened or created: look at the path
    │   └── StoreMissing      there is none, and none was to be made: is the URL right?
    ├── EntryNotFound         nothing under this key
    ├── ForeignCollection     a collection is used otherwise, and is not touched
    ├── OutcomeUnknown        a write may or may not have happened: read before deciding
    ├── StoreClosed           used after close
    └── StoreUnavailable      the store does not answer: retry later
        └── StoreBusy         another writer holds the store

Each error has typed fields, from which the class builds its message.
"""

from perdure.errors._actors import (
    ActorError,
    ActorStopped,
    AskedItself,
    AskTimeout,
    MailboxFull,
    NameTaken,
    NoRoutee,
    Overflowed,
    Rejected,
    StartTimeout,
    StashFull,
    Superseded,
    SystemCrashed,
    Unhandled,
)
from perdure.errors._corruption import ChainBroken, CorruptionError, DamagedSnapshot, RolledBack, TailCut
from perdure.errors._events import ApplyError, EventTypeError, EvolutionError, InvalidTag, RecordTooLarge, UpcastError
from perdure.errors._logs import (
    ConflictError,
    EventsNeeded,
    EventsRemoved,
    PersistInProgress,
    StaleRevision,
    StateUnknown,
)
from perdure.errors._root import PerdureError
from perdure.errors._sealing import (
    KeyMissing,
    KeyringError,
    PlaintextRefused,
    RecordAltered,
    RecordMoved,
    SealedStore,
    SealError,
    SubjectForgotten,
    SubjectKeyMissing,
    UnknownKey,
    WrongKey,
)
from perdure.errors._stores import (
    BackendError,
    BrokenPlugin,
    CreateStoreError,
    EntryNotFound,
    ForeignCollection,
    InvalidIdentifier,
    OutcomeUnknown,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreMissing,
    StoreUnavailable,
    UnknownBackend,
)
from perdure.errors._transfer import DamagedLine, TargetDiffers

__all__ = [
    "ActorError",
    "ActorStopped",
    "ApplyError",
    "AskTimeout",
    "AskedItself",
    "BackendError",
    "BrokenPlugin",
    "ChainBroken",
    "ConflictError",
    "CorruptionError",
    "CreateStoreError",
    "DamagedLine",
    "DamagedSnapshot",
    "EntryNotFound",
    "EventTypeError",
    "EventsNeeded",
    "EventsRemoved",
    "EvolutionError",
    "ForeignCollection",
    "InvalidIdentifier",
    "InvalidTag",
    "KeyMissing",
    "KeyringError",
    "MailboxFull",
    "NameTaken",
    "NoRoutee",
    "OutcomeUnknown",
    "Overflowed",
    "PerdureError",
    "PersistInProgress",
    "PlaintextRefused",
    "RecordAltered",
    "RecordMoved",
    "RecordTooLarge",
    "Rejected",
    "RolledBack",
    "SealError",
    "SealedStore",
    "StaleRevision",
    "StartTimeout",
    "StashFull",
    "StateUnknown",
    "StoreBusy",
    "StoreClosed",
    "StoreError",
    "StoreMissing",
    "StoreUnavailable",
    "SubjectForgotten",
    "SubjectKeyMissing",
    "Superseded",
    "SystemCrashed",
    "TailCut",
    "TargetDiffers",
    "Unhandled",
    "UnknownBackend",
    "UnknownKey",
    "UpcastError",
    "WrongKey",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # a traceback shows where an error is imported from
