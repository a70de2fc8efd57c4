"""A backend of somebody else: built, installed beside our wheels, proved and used, out of reach of this folder."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from examples.tests.conftest import ROOT
from examples.tests.test_readme import program

BACKEND = ROOT / "examples" / "backend-jsonl"
LACKS = ("openers", "processes")

pytest.importorskip("fcntl", reason="perdure-jsonl locks its file by flock")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python that has perdure, the testkit and the backend as their wheels install them.

    What they depend on is what this environment has, so nothing is downloaded. Its editable packages are out of reach:
    Python reads the `.pth` files of its own site-packages, not those of the folders that they name.
    """
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed here: no wheel can be built")
    home = tmp_path_factory.mktemp("third_party")
    for folder in (ROOT / "packages" / "core", ROOT / "packages" / "testkit", BACKEND):
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(home / "wheels")]
        subprocess.run(build, cwd=folder, check=True, capture_output=True, timeout=60)
    venv.create(home / "venv", symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(home / "venv")}))
    for wheel in (home / "wheels").iterdir():
        ZipFile(wheel).extractall(packages)  # all that installing a wheel of Python without scripts is
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return home / "venv" / "bin" / "python"


def start(python: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python program in a folder, without what this process has told its children."""
    told = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "COVERAGE_PROCESS_START")
    environment = {name: value for name, value in os.environ.items() if name not in told}
    return subprocess.Popen(
        [python, *arguments], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Return what a process has said, when it has ended well."""
    with process:
        try:
            output, _ = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 0, output
    return output


def test_nothing_comes_from_this_folder(installed: Path, tmp_path: Path) -> None:
    """The packages are those of the wheels, and the type marker is in them."""
    names = ("perdure", "perdure_testkit", "perdure_jsonl")
    look = f"import {', '.join(names)}; print(*(module.__file__ for module in ({', '.join(names)})))"

    places = [Path(place) for place in finish(start(installed, tmp_path, "-c", look)).split()]

    assert [place.is_relative_to(installed.parents[1]) for place in places] == [True] * 3
    assert [place.with_name("py.typed").exists() for place in places] == [True] * 3


def test_its_own_tests_prove_all_that_it_claims(installed: Path, tmp_path: Path) -> None:
    """The whole contract holds, save the claims that its test class does not make."""
    shutil.copytree(BACKEND / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
    shutil.copy(BACKEND / "pyproject.toml", tmp_path)

    output = finish(start(installed, tmp_path, "-m", "pytest"))

    assert set(re.findall(r"^  not claimed: (\w+)", output, re.MULTILINE)) == set(LACKS), output
    if sys.platform == "linux":  # elsewhere a process cannot see which files it has open
        assert "  not run (" not in output


def test_the_suite_runs_by_its_url_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """The plug-in is found by its scheme, here and in the processes that the suite kills.

    Only some rules are run, for these are the rules of the test above: all of them would take as long again.
    """
    lacks = [f"--lacks={claim}=it locks its file" for claim in LACKS]
    suite = ["--pyargs", "perdure_testkit.conformance", "--backend", "jsonl:///{tmp}/store.jsonl", *lacks]
    some = "TestBackend and (kill or feed or conflict or opener)"

    output = finish(start(installed, tmp_path, "-m", "pytest", *suite, "-k", some))

    assert re.findall(r"^  not claimed: (\w+)", output, re.MULTILINE) == list(LACKS), output


def test_the_program_of_its_readme_goes_on_where_it_was(installed: Path, tmp_path: Path) -> None:
    """An actor keeps its balance in the file, from one run to the next."""
    (tmp_path / "bank.py").write_text(program(BACKEND / "README.md"))

    runs = [finish(start(installed, tmp_path, "bank.py")) for _ in range(2)]

    assert runs == ["10\n", "20\n"]
    assert (tmp_path / "bank.jsonl").read_bytes().startswith(b'{"perdure_jsonl":1}\n{"put":')
