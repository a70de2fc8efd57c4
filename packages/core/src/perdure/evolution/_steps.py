"""The steps from version to version of one kind of thing, as an actor's author registers them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from perdure.errors import EvolutionError
from perdure.evolution._document import Document


class Step(NamedTuple):
    """A function from the document of one version to that of another; or, with `to` 0, to any documents."""

    to: int
    function: Callable[[Any], Any]

    @property
    def name(self) -> str:
        """What the author calls the function."""
        return getattr(self.function, "__name__", repr(self.function))


class Written(NamedTuple):
    """The version and the name under which a type is written, where they are not the current ones."""

    version: int | None
    name: str | None


class Steps:
    """What is registered for events, or for states. Raises `EvolutionError` for what can never be right."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.up: dict[tuple[str, int], Step] = {}
        self.down: dict[tuple[str, int], Step] = {}
        self.renamed: dict[str, str] = {}
        self.dropped: set[str] = set()
        self.written: dict[str, Written] = {}
        self._stripping: set[tuple[str, int]] = set()
        self._in_use = False

    def add_up(self, manifest: str, version: int, to: int | None, function: Callable[[Any], Any]) -> None:
        """Note how a version is read as a later one."""
        to = version + 1 if to is None else to
        self._check_start(manifest, version)
        if _no_version(to) or to <= version:
            self.refuse(manifest, version, f"an upcaster leads to a later version, not to {to!r}")
        self._add_up(manifest, version, Step(to, function))

    def add_replacement(self, manifest: str, version: int, function: Callable[[Any], Iterable[Document]]) -> None:
        """Note that documents of a version are read as others."""
        self._check_start(manifest, version)
        self._add_up(manifest, version, Step(0, function))

    def add_defaults(self, manifest: str, version: int, fields: dict[str, Any]) -> None:
        """Note the fields that the next version has in addition, and, unless there is one, the way back."""

        def fill(document: Any) -> Any:
            return {**copy.deepcopy(fields), **document}

        def strip(document: Any) -> Any:
            for name, default in fields.items():
                if document.get(name, default) != default:
                    raise ValueError(f"{name} is {document[name]!r}, which version {version} cannot say")
            return {name: value for name, value in document.items() if name not in fields}

        self.add_up(manifest, version, None, fill)
        if (manifest, version + 1) not in self.down:
            self.add_down(manifest, version + 1, None, strip)
            self._stripping.add((manifest, version + 1))

    def add_down(self, manifest: str, version: int, to: int | None, function: Callable[[Any], Any]) -> None:
        """Note how a version is written as an earlier one."""
        to = version - 1 if to is None else to
        self._check_start(manifest, version)
        if _no_version(to) or to >= version:
            self.refuse(manifest, version, f"a downcaster leads to an earlier version from 1 on, not to {to!r}")
        if (manifest, version) in self.down and (manifest, version) not in self._stripping:
            self.refuse(manifest, version, "it has two downcasters")
        self._stripping.discard((manifest, version))
        self.down[manifest, version] = Step(to, function)

    def rename(self, old: str, new: str) -> None:
        """Note that what is stored as `old` is called `new` now."""
        self._check_open(new)
        if old in self.renamed:
            self.refuse(old, None, f"it is renamed twice, to {self.renamed[old]!r} and {new!r}")
        if self.current_name(new) == old:
            self.refuse(old, None, f"it is renamed to {new!r}, which leads back to it")
        self.renamed[old] = new

    def drop(self, manifest: str) -> None:
        """Note that what is stored under a name is not read any more."""
        self._check_open(manifest)
        self.dropped.add(manifest)

    def write(self, manifest: str, version: int | None, name: str | None) -> None:
        """Note what is written for programs that are older than this one."""
        self._check_open(manifest)
        if version is not None and _no_version(version):
            self.refuse(manifest, None, f"it is to be written as version {version!r}; versions are 1, 2, 3, …")
        if manifest in self.written:
            self.refuse(manifest, None, "it is said twice as what it is written")
        self.written[manifest] = Written(version, name)

    def current_name(self, manifest: str) -> str:
        """Return what a stored name is called now."""
        while manifest in self.renamed:
            manifest = self.renamed[manifest]
        return manifest

    def close(self) -> None:
        """Take no more: somebody reads with what there is."""
        self._in_use = True

    def refuse(self, manifest: str, version: int | None, reason: str) -> NoReturn:
        """Raise `EvolutionError`."""
        raise EvolutionError(f"{self.what} {manifest}".rstrip(), version, reason)

    def _add_up(self, manifest: str, version: int, step: Step) -> None:
        if (manifest, version) in self.up:
            one = self.up[manifest, version].name
            self.refuse(manifest, version, f"it has two upcasters, {one} and {step.name}")
        self.up[manifest, version] = step

    def _check_start(self, manifest: str, version: int) -> None:
        self._check_open(manifest)
        if _no_version(version):
            self.refuse(manifest, None, f"a step is registered for version {version!r}; versions are 1, 2, 3, …")

    def _check_open(self, manifest: str) -> None:
        if self._in_use:
            self.refuse(manifest, None, "register it before the first actor of the type is used")


def _no_version(version: object) -> bool:
    return type(version) is not int or version < 1
