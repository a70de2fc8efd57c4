"""`perdure backends`: what is installed."""

from __future__ import annotations

from perdure.cli._formats import Form, rows
from perdure.cli._installed import installed_plugins
from perdure.cli._options import FormOption


def backends(form: FormOption = Form.TABLE) -> int:
    """List the backends and other plug-ins that are installed, and what is wrong with the broken ones.

    Each is imported. The exit code is 1 where one is broken.
    """
    broken = 0
    with rows(form, "kind", "name", "distribution", "version", "hooks", "problem") as write:
        for plugin in installed_plugins():
            broken += plugin.problem is not None
            write(
                kind=plugin.kind,
                name=plugin.name,
                distribution=plugin.distribution,
                version=plugin.version,
                hooks=plugin.hooks,
                problem=plugin.problem,
            )
    return 1 if broken else 0
