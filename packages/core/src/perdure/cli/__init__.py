"""The command `perdure`: look into stores, check, move and repair them, without writing a program.

It takes the extra `cli`: `pip install 'perdure[cli]'`. Exit codes: 0 fine, 1 something was found (by `verify`), 2 wrong
use, 3 the store or the work failed, 130 Ctrl-C.

To add a command, add a module to `perdure.cli.commands`: it is named as the command is (`import_` for `import`), and
has a function of the same name, which is mostly `async`. It parses, calls a function of the library, and prints:

    async def ids(url: Url, keys: Keys, form: FormOption = Form.TABLE, limit: … = None) -> None:
        \"\"\"List the persistence ids.\"\"\"                          the help; one line of it in `perdure --help`
        async with opened(url, keys) as store:                     raises where there is no store
            with rows(form, "persistence_id") as write:            a table, JSON or JSONL on standard output
                async for persistence_id in store.query().ids():
                    write(persistence_id=persistence_id)

- `perdure.cli._options` has the options that commands share; a parameter of the type `Keys` becomes four of them.
- `perdure.cli._stores` opens stores, with their keys.
- `perdure.cli._formats` prints what was found, `perdure.cli._console` tells on standard error how far work has come.
- Raise what the library raises, or `perdure.cli._use.WrongUse`: it becomes one line on standard error. Return 1
  where something was found. Ctrl-C cancels an async command, so what it has opened is closed.

A plug-in adds commands by the hook `perdure_commands` of the group `perdure.plugins`: see `perdure.PluginHooks`.
"""

from perdure.cli._main import main

__all__ = ["main"]
