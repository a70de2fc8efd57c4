"""The pages of `docs/` say what the command `perdure` prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples.tests.consoles import REDIS, fits, outputs, shown, steps
from examples.tests.test_docs import DOCS, modules

from perdure_testkit.redis import RedisServer

pytest.importorskip("typer")

PAGES = sorted(page for page in DOCS.glob("*.md") if "\n$ perdure " in page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_print_what_it_says(
    page: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In their order, in one shell."""
    for name, block in modules(page).items():
        (tmp_path / f"{name}.py").write_text(block)
    said = steps(page.read_text())
    server = None
    if any(REDIS in step.command for step in said):
        server = RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always").start()
    try:
        printed = outputs([step.command for step in said], tmp_path, REDIS if server is None else server.url)
    finally:
        if server is not None:
            server.kill()

    wrong = [
        f"{page.name}, line {step.line}: $ {step.command}\n{output}\n--- and the page says:\n{step.expected}"
        for step, output in zip(said, printed, strict=True)
        if not fits(output, step.expected)
    ]
    assert not wrong, "\n\n".join(wrong)


class TestRunner:
    """Itself."""

    def test_runs_all_in_one_shell(self, tmp_path: Path) -> None:
        commands = ["x=1", "echo $x; echo wrong >&2", "false", "echo $?", "test -t 1 && test -t 2 && echo terminal"]

        assert outputs(commands, tmp_path) == ["", "1\nwrong", "", "1", "terminal"]

    @pytest.mark.parametrize(
        ("written", "seen"),
        [
            ("one\r\ntwo", "one\ntwo"),
            ("\x1b[1mbold\x1b[0m", "bold"),
            ("12 %\r13 %\x1b[K\r\n", "13 %\n"),
            ("bar\r\n\x1b[1A\x1b[2Kdone", "done\n"),
            ("\x1b[?25lbar\r\x1b[2Kabove\r\nbar\r\n\x1b[?25h\r\x1b[1A\x1b[2K", "above\n\n"),
        ],
    )
    def test_knows_what_a_terminal_shows_in_the_end(self, written: str, seen: str) -> None:
        assert shown(written) == seen

    def test_reads_commands_of_several_lines(self) -> None:
        page = "```console\n$ cat <<.\n> one\n> .\none\n\n$ true\n```\n```python\n$ no\n```\n"

        assert [(step.line, step.command, step.expected) for step in steps(page)] == [
            (2, "cat <<.\none\n.", "one"),
            (7, "true", ""),
        ]

    @pytest.mark.parametrize(
        ("output", "expected", "does"),
        [
            ("ab", "ab", True),
            ("a b c", "a...c", True),
            ("a\nb\nc", "a\n...\nc", True),
            ("abc", "ab", False),
            ("a.c", "a..c", False),
        ],
    )
    def test_takes_three_dots_for_anything(self, output: str, expected: str, does: bool) -> None:
        assert fits(output, expected) is does
