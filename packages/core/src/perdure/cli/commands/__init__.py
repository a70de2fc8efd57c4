"""The commands, one a module, each named as its command is. `perdure.cli` says how to add one."""
