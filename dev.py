"""Run hatch without having it: `python dev.py ARGUMENTS` is `hatch ARGUMENTS`.

Needs Python 3.11 or newer with venv. Hatch is installed into `.venv` beside this file at the first run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
READY = VENV / "hatch-is-installed"


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what tells the user
        print(f"perdure needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    if not READY.exists():
        print("Installing hatch into .venv …", file=sys.stderr)
        venv.create(VENV, with_pip=True, clear=VENV.exists())
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "hatch>=1.16,<2", "uv"], check=True)
        READY.touch()
    return subprocess.run([PYTHON, "-m", "hatch", *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
