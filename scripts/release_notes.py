"""Print the notes of a release: the section of CHANGELOG.md with its version.

Usage: ``python scripts/release_notes.py 1.2.3``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"


def main() -> None:
    """Print the notes of the version that the command line names."""
    version = sys.argv[1]
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    text = CHANGELOG.read_text(encoding="utf-8")
    found = re.search(rf"{heading}\n(.*?)(?=^## |^\[Unreleased\]: )", text, re.DOTALL | re.MULTILINE)
    if found is None:
        sys.exit(f"CHANGELOG.md: must have a section '## [{version}] - YYYY-MM-DD'")
    print(found[1].strip())


if __name__ == "__main__":
    main()
