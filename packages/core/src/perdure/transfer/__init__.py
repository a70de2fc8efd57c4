"""Moving whole stores: copy one into another, write one to a file and read it back, and keep one as a backup."""

from perdure.transfer._backup import backup
from perdure.transfer._copy import Copied, copy
from perdure.transfer._export import Exported, export
from perdure.transfer._import import Imported, import_

__all__ = ["Copied", "Exported", "Imported", "backup", "copy", "export", "import_"]
