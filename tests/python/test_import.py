"""What `import rushlight` does, and doesn't."""

from __future__ import annotations

import subprocess
import sys

# What is slow to import, or has nothing to do with texts that become numbers.
HEAVY = [
    "asyncio",
    "email",
    "http",
    "huggingface_hub",
    "importlib.metadata",
    "multiprocessing",
    "ssl",
    "torch",
    "tqdm",
    "urllib.request",
]
CODE = f"""
import sys
import numpy
before = set(sys.modules)
import rushlight
new = set(sys.modules) - before
print(sorted(new & set({HEAVY})))
print(len(new))
"""


def test_nothing_heavy_is_imported_and_nothing_printed() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, check=True)
    heavy, count = done.stdout.splitlines()
    assert (heavy, done.stderr) == ("[]", "")
    assert int(count) < 50


def test_the_library_logs_under_its_own_name_and_adds_no_handler() -> None:
    code = "import logging, rushlight; print(logging.getLogger('rushlight').handlers, logging.getLogger().handlers)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[] []\n", "")
