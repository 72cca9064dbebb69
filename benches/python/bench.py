"""Measure rushlight, alone or beside its peers: see benches/README.md, or `bench.py --help`."""

from __future__ import annotations

from harness.cli import main

if __name__ == "__main__":
    main()
