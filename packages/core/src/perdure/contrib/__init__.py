"""Fittings for other libraries, each an extra: import the module of the library's name."""
