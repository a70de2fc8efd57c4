"""The pytest plug-in: the options of the ready-made suites, and the summary of what was proved.

It stands beside the package, so that a run of pytest that has nothing to do with perdure imports nothing of it. Its
options exist only where one of the suites is run by name, so they are in nobody's way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from perdure_testkit._summary import Proof

_SUITES = ("perdure_testkit.conformance", "perdure_testkit.performance")
_PLACES = ("{tmp}", "{unique}")
_proofs = pytest.StashKey["dict[str, Proof]"]()


def pytest_load_initial_conftests(parser: pytest.Parser, args: Sequence[str]) -> None:
    if not any(arg.startswith(_SUITES) for arg in args):
        return
    group = parser.getgroup("perdure", "a backend of perdure")
    group.addoption(
        "--backend",
        metavar="URL",
        help="the backend to prove; {tmp} in it is a new folder for each test, {unique} a new name",
    )
    group.addoption(
        "--lacks",
        action="append",
        default=[],
        metavar="CLAIM[=REASON]",
        help="a claim that the backend does not make, as feed, reopening, openers, processes or kills",
    )
    group.addoption("--durability", choices=("full", "relaxed"), default="full", help="what stores are opened with")
    group.addoption("--full", action="store_true", help="take the greatest sizes, as 100,000 prefixes: slow")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_proofs] = {}
    url = config.getoption("backend", None)
    if hasattr(config.option, "lacks") and not (isinstance(url, str) and any(place in url for place in _PLACES)):
        raise pytest.UsageError(
            f"each test needs a store of its own: give --backend URL with {' or '.join(_PLACES)} in it, "
            f"for example --backend 'sqlite:///{{tmp}}/store.db'"
        )


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"perdure: {config.option.backend}" if hasattr(config.option, "lacks") else None


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item.cls, "_only_what_is_claimed"):
            place = f"{item.cls.__module__}.{item.cls.__qualname__}"
            _proof(item.config, item.cls.contract, place).left_out(item.originalname)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                _take(config, report)
    proofs = config.stash[_proofs]
    if proofs:
        terminalreporter.section("perdure contracts")
        for _, proof in sorted(proofs.items()):
            for line in proof.lines():
                terminalreporter.line(line)


def _take(config: pytest.Config, report: pytest.TestReport) -> None:
    """Note what became of a rule; with pytest-xdist the report has come from another process."""
    noted = {name: str(value) for name, value in report.user_properties}
    if "perdure_rule" in noted:
        contract, place, rule = noted["perdure_rule"].split("|")
        claim, _, reason = noted.get("perdure_lacks", "").partition("|")
        _proof(config, contract, place).add(rule, report.outcome, report.when, claim, reason)


def _proof(config: pytest.Config, contract: str, place: str) -> Proof:
    from perdure_testkit._summary import Proof

    return config.stash[_proofs].setdefault(place, Proof(contract, place))
