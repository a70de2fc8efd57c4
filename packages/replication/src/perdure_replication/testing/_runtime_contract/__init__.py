"""The rules of the port `ActorRuntime`, as tests.

The ids at the end of docstrings are those of the field's plan for adapters; the page on runtimes has a table of them.
pytest is imported where it is used.
"""

from perdure_replication.testing._runtime_contract._actors import Actors
from perdure_replication.testing._runtime_contract._groups import Groups
from perdure_replication.testing._runtime_contract._nodes import Nodes
from perdure_replication.testing._runtime_contract._processes import Processes
from perdure_replication.testing._runtime_contract._timers import Timers


class ActorRuntimeContract(Actors, Timers, Groups, Nodes, Processes):
    """The rules that every actor runtime keeps: subclass it in a test module, with one fixture in the class.

    `new_runtime` returns a `NewRuntime`, the class of a runtime for example. Where `importable` names one too, as
    `module:name`, the rules about nodes in processes of their own are tried. The tests are run by pytest with
    pytest-asyncio in its mode `auto`.
    """
