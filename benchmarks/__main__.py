"""`python benchmarks ARGUMENTS`, or `python -m benchmarks ARGUMENTS`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # Python has put this folder on the path, and the package is in the one above
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.runner import main

if __name__ == "__main__":  # processes that a section spawns read this file too
    sys.exit(main(sys.argv[1:]))
