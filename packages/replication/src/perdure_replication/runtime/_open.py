"""Finding a runtime by name, through entry points of the group `perdure.runtimes`.

An entry point's name is that of the runtime, its value a function, an `OpenRuntime`. What is built in enters by the
same door. A module is imported when its name is first asked for.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from perdure_replication._node import Node
from perdure_replication._plugins import load_plugin
from perdure_replication.runtime._runtime import ActorRuntime

GROUP = "perdure.runtimes"


class OpenRuntime(Protocol):
    """What a plug-in is; the class of a runtime is one."""

    def __call__(self, node: Node | None, **options: Any) -> ActorRuntime:
        """Make a runtime, which is not open. Raises `InvalidRuntime` for what cannot be right."""


def open_runtime(name: str, *, node: Node | None = None, **options: Any) -> ActorRuntime:
    """Make the runtime of a name, `perdure` or `pykka` for example; use it in `async with`.

    `options` are those of the runtime, such as `messages`. Raises `UnknownBackend` naming the runtimes that are
    installed, `BrokenPlugin` naming the distribution that fails and what it lacks, `InvalidRuntime`.
    """
    return cast("OpenRuntime", load_plugin(GROUP, name, "runtime", "name"))(node, **options)
