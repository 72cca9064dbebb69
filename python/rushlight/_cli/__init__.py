"""The command line: `rushlight`, or `python -m rushlight`. Each command is a file."""
