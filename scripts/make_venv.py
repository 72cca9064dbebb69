"""Make the virtual environment that the Makefile works in, or say what this machine lacks for it.

Usage: ``python3 scripts/make_venv.py .venv``. An environment that is there and works is left alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NO_PIP = """\
{python} can make a virtual environment, but can't put pip into it: its modules `ensurepip` and `pip` are missing.
On Debian and Ubuntu `apt-get install python3-venv` mends that; or name another Python: `make PYTHON=python3.12 ...`."""


def main() -> None:
    """Check the machine, then make the environment named by the first argument."""
    folder = Path(sys.argv[1])
    if sys.version_info < (3, 10):  # noqa: UP036 - this script is how an older Python gets to know
        sys.exit(f"rushlight needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}")
    if shutil.which("cargo") is None:
        sys.exit("cargo is not on the PATH: install a current stable Rust from https://rustup.rs")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if runs(python, "-m", "pip", "--version"):
        return
    shutil.rmtree(folder, ignore_errors=True)
    if runs(sys.executable, "-m", "venv", folder):
        return
    # Debian's Python comes without ensurepip: a pip that is there can still install itself.
    shutil.rmtree(folder, ignore_errors=True)
    if runs(sys.executable, "-m", "venv", "--without-pip", folder) and runs(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "pip"
    ):
        return
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(NO_PIP.format(python=sys.executable))


def runs(*command: str | Path) -> bool:
    """Run a command quietly, and tell whether it succeeded."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main()
