"""What one actor type makes of old documents: its registered steps beside the types that it has now.

A document is read step by step, from raw document to raw document, until each that it has become is of the current
version of a type that the actor declares. So a type needs no class once its last step replaces its documents, and the
log is never rewritten. What can be seen to be wrong without a document is refused before the first one is read: then
at reading a step can only fail, or be missing for a version of which nobody has thought.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from perdure.errors import EvolutionError, UpcastError
from perdure.evolution._document import Document
from perdure.evolution._steps import Step, Steps, Written

_CURRENT = Written(None, None)


class Lineage:
    """Reads and writes the documents of events, or of states, of one actor type."""

    def __init__(self, owner: str, steps: Steps, current: Mapping[str, int]) -> None:
        """Take the version of each declared type. Raises `EvolutionError` where the steps do not fit them."""
        self._owner = owner
        self._steps = steps
        self._current = current
        self._stepped = {manifest for manifest, _ in steps.up}
        self._check()
        steps.close()

    def current_name(self, manifest: str) -> str:
        """Return what a stored name is called now."""
        return self._steps.current_name(manifest)

    def version(self, manifest: str) -> int:
        """Return the current version of a declared type."""
        return self._current[manifest]

    def is_read_as_it_is(self, manifest: str, version: int) -> bool:
        """Tell whether documents are decoded without a step: those of the current version, and of types without any."""
        current = self._current.get(manifest)
        return current is not None and (version == current or (version < current and manifest not in self._stepped))

    def knows(self, manifest: str) -> bool:
        """Tell whether a name, after renaming, is that of a type which is declared, dropped, or has steps."""
        return manifest in self._current or manifest in self._steps.dropped or manifest in self._stepped

    def begins(self) -> list[tuple[str, int]]:
        """Return the names and versions at which steps begin: what was stored once."""
        return list(self._steps.up)

    def upcast(self, document: Document) -> Iterator[Document]:
        """Yield what a document is today: documents of current versions, mostly one. Raises `UpcastError`."""
        return self._upcast(document, frozenset())

    def written_as(self, manifest: str) -> Document | None:
        """Return name and version under which a type is written, without content; None for the current ones."""
        version, name = self._steps.written.get(manifest, _CURRENT)
        current = self._current[manifest]
        if name is None and version in (None, current):
            return None
        return Document(manifest if name is None else name, current if version is None else version, None)

    def downcast(self, manifest: str, content: Any, to: int) -> Any:
        """Return a current document's content as that of an earlier version. Raises what a downcaster raises."""
        version = self._current[manifest]
        while version > to:
            version, function = self._steps.down[manifest, version]
            content = function(content)
        return content

    # Reading.

    def _upcast(self, document: Document, seen: frozenset[tuple[str, int]]) -> Iterator[Document]:
        manifest, version = self.current_name(document.manifest), document.version
        place = (manifest, version)
        if manifest in self._steps.dropped:
            return
        if self.is_read_as_it_is(manifest, version):
            yield Document(manifest, version, document.content)
            return
        step = self._step_from(manifest, version)
        if place in seen:
            self._fail(manifest, version, f"its step {step.name} leads round in a circle")
        for following in self._take(step, Document(manifest, version, document.content)):
            yield from self._upcast(following, seen | {place})

    def _step_from(self, manifest: str, version: int) -> Step:
        step = self._steps.up.get((manifest, version))
        if step is not None:
            return step
        current = self._current.get(manifest)
        if current is not None and version > current:
            self._fail(manifest, version, f"this program knows versions up to {current}")
        if not self.knows(manifest):
            self._fail(manifest, version, f"{self._owner} declares no such type, and says of none what became of it")
        self._fail(manifest, version, "no upcaster begins at this version")

    def _take(self, step: Step, document: Document) -> Iterable[Document]:
        """Return what a step makes of a document."""
        manifest, version = document.manifest, document.version
        try:
            result = step.function(document.content)
            documents = () if step.to or isinstance(result, Document) else tuple(result)
        except Exception as error:
            leads = f"its step to version {step.to}" if step.to else "its replacement"
            reason = f"{leads}, {step.name}, raised {type(error).__name__}: {error}"
            raise UpcastError(self._named(manifest), version, reason) from error
        if not step.to:
            documents = (result,) if isinstance(result, Document) else documents
            for made in documents:
                if not (isinstance(made, Document) and type(made.manifest) is str and type(made.version) is int):
                    self._fail(manifest, version, f"its replacement {step.name} made {_shown(made)}, no Document")
            return documents
        if isinstance(result, Document) or (result is None and document.content is not None):
            reason = f"its step to version {step.to}, {step.name}, returned {_shown(result)}, not the content of one"
            self._fail(manifest, version, reason)
        return (Document(manifest, step.to, result),)

    # Checking.

    def _check(self) -> None:
        for (manifest, version), step in self._steps.up.items():
            self._check_up(manifest, version, step)
        for manifest, version in self._steps.down:
            self._check_down(manifest, version)
        for old, new in self._steps.renamed.items():
            self._check_absent(old, "renamed")
            if not self.knows(self.current_name(new)):
                self._refuse(old, None, f"it is renamed to {new}, and {self._owner} declares no such type")
        for manifest in self._steps.dropped:
            self._check_absent(manifest, "dropped")
        for manifest, written in self._steps.written.items():
            self._check_written(manifest, written)

    def _check_up(self, manifest: str, version: int, step: Step) -> None:
        self._check_name(manifest, version)
        current = self._current.get(manifest)
        if current is not None and version >= current:
            self._refuse(manifest, version, f"an upcaster begins there, and version {current} is the current one")
        if current is not None and step.to > current:
            self._refuse(manifest, version, f"its upcaster leads to version {step.to}, beyond the current {current}")
        if step.to and step.to != current and (manifest, step.to) not in self._steps.up:
            if current is None:
                reason = f"{self._owner} declares no such type, and nothing replaces its version {step.to}"
            else:
                reason = f"its upcaster leads to version {step.to}, and none leads from there to {current}"
            self._refuse(manifest, version, reason)

    def _check_down(self, manifest: str, version: int) -> None:
        self._check_name(manifest, version)
        current = self._current.get(manifest)
        if current is not None and version > current:
            self._refuse(manifest, version, f"a downcaster begins there, beyond the current version {current}")

    def _check_written(self, manifest: str, written: Written) -> None:
        self._check_name(manifest, None)
        current = self._current.get(manifest)
        if current is None:
            self._refuse(manifest, None, f"it is to be written, and {self._owner} declares no such type")
        if written.name is not None and self._steps.renamed.get(written.name) is None:
            self._refuse(manifest, None, f"it is to be written as {written.name}, which is not renamed to it")
        if written.name is not None and self.current_name(written.name) != manifest:
            self._refuse(manifest, None, f"it is to be written as {written.name}, which is another type")
        if written.version is not None:
            self._check_way_down(manifest, current, written.version)

    def _check_way_down(self, manifest: str, current: int, to: int) -> None:
        if to > current:
            self._refuse(manifest, to, f"it is to be written so, and the current version is {current}")
        version = current
        while version > to:
            step = self._steps.down.get((manifest, version))
            if step is None or step.to < to:
                self._refuse(manifest, to, f"it is to be written so, and no downcaster leads there from {version}")
            version = step.to
        while version < current and manifest in self._stepped:
            back = self._steps.up.get((manifest, version))
            if back is None or not back.to:
                self._refuse(manifest, to, f"it is to be written so, and could not be read back: see version {version}")
            version = back.to

    def _check_name(self, manifest: str, version: int | None) -> None:
        if manifest in self._steps.renamed:
            new = self.current_name(manifest)
            self._refuse(manifest, version, f"it is renamed, and what is said of it has to be said of {new}")
        if manifest in self._steps.dropped:
            self._refuse(manifest, version, "it is dropped, and something else is said of it")

    def _check_absent(self, manifest: str, what: str) -> None:
        if manifest in self._current:
            self._refuse(manifest, None, f"it is {what}, and {self._owner} still declares a type of this name")

    def _named(self, manifest: str) -> str:
        return f"{self._steps.what} {manifest}".rstrip()

    def _fail(self, manifest: str, version: int, reason: str) -> NoReturn:
        raise UpcastError(self._named(manifest), version, reason)

    def _refuse(self, manifest: str, version: int | None, reason: str) -> NoReturn:
        raise EvolutionError(self._named(manifest), version, reason, self._owner)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:90]}…"
