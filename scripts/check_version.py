"""Compare the places that name the version: Cargo.toml, Cargo.lock, CITATION.cff, CHANGELOG.md, and a release's tag.

Usage: ``python scripts/check_version.py [TAG]``. With a tag, which must be ``v`` and the version, the changelog must
have a dated section of it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# https://semver.org, without build metadata, which crates and wheels treat differently.
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(alpha|beta|rc)\.\d+)?")


def main() -> None:
    """Check, and say what doesn't agree."""
    tag = sys.argv[1] if len(sys.argv) > 1 else None
    problems = list(check(tag))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(len(problems) > 0)


def check(tag: str | None) -> list[str]:
    """Return what doesn't agree."""
    version = found("Cargo.toml", "[workspace.package]")
    locked = found("Cargo.lock", 'name = "rushlight"')
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    problems = []
    if not SEMANTIC.fullmatch(version):
        problems.append(f"Cargo.toml: version: must be as in 1.2.3 or 1.2.3-rc.1, got {version!r}")
    if locked != version:
        problems.append(f"Cargo.lock: rushlight is {locked!r}, but {version!r} in Cargo.toml: run cargo check")
    if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8"):
        problems.append(f"CITATION.cff: version: must be {version}, as in Cargo.toml")
    if "## [Unreleased]" not in changelog:
        problems.append("CHANGELOG.md: must begin with a section [Unreleased]")
    if tag is None:
        return problems
    if tag != f"v{version}":
        problems.append(f"tag: must be 'v{version}', as Cargo.toml says, got {tag!r}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        problems.append(f"CHANGELOG.md: must have a section '## [{version}] - YYYY-MM-DD'")
    return problems


def found(file: str, before: str) -> str:
    """Return the version on the line after `before` in a file of cargo's."""
    text = (ROOT / file).read_text(encoding="utf-8")
    match = re.search(rf'^{re.escape(before)}\nversion = "(.*)"$', text, re.MULTILINE)
    return match[1] if match else ""


if __name__ == "__main__":
    main()
