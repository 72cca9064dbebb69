"""Write THIRD-PARTY-NOTICES, the licences of the crates that wheels contain, or check that it lists them all.

Usage: ``python scripts/notices.py [--check]``. Writing needs cargo-about; checking doesn't.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "THIRD-PARTY-NOTICES"
ABOUT = ROOT / "scripts/notices"
# Targets of wheels.
TARGETS = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "aarch64-pc-windows-msvc",
]
MANIFEST = ["--manifest-path", str(ROOT / "python/core/Cargo.toml")]
WHEEL = ["--locked", *MANIFEST, *(word for target in TARGETS for word in ("--target", target))]


def main() -> None:
    """Write the file or check it."""
    parser = argparse.ArgumentParser(description="Write or check the notices of third-party licences.")
    parser.add_argument("--check", action="store_true", help="only check that the file lists the crates of Cargo.lock")
    if not parser.parse_args().check:
        write()
        return
    problems = check()
    for problem in problems:
        print(f"{FILE.name}: {problem}: run make notices", file=sys.stderr)
    sys.exit(len(problems) > 0)


def write() -> None:
    """Collect the licences from the sources of the crates; one that has none, or another than allowed, is an error."""
    subprocess.run(["cargo", "fetch", "--locked"], cwd=ROOT, check=True)
    # Offline it asks no service for what the sources say themselves.
    options = ["--offline", "--fail", f"--config={ABOUT / 'about.toml'}", f"--output-file={FILE}"]
    subprocess.run(["cargo", "about", "generate", *WHEEL, *options, ABOUT / "notices.hbs"], cwd=ROOT, check=True)
    # Some licences come with the line ends of Windows.
    FILE.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")


def check() -> list[str]:
    """Return which crates of the wheels the file lacks; those that cargo-about finds beside them do no harm."""
    listed = set(re.findall(r"^  (\S+ \d\S*?)(?:, .*)?$", FILE.read_text(encoding="utf-8"), re.MULTILINE))
    return [f"lacks {crate}" for crate in sorted(crates() - listed)]


def crates() -> set[str]:
    """Return the names and versions of the crates that a wheel of any target may contain."""
    command = ["cargo", "tree", *WHEEL, "--edges", "normal", "--prefix", "none", "--format", "{p}"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    # This crate alone has a path behind its version.
    found = {line.removesuffix(" (*)").removesuffix(" (proc-macro)") for line in output.splitlines()}
    return {crate.replace(" v", " ", 1) for crate in found if crate and "(" not in crate}


if __name__ == "__main__":
    main()
