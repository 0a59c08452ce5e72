"""The command line: joins what lower floors return."""
