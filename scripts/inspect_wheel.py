"""Read a wheel of any platform without installing it, and compare its contents with its name."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Bytes that a wheel may have: README promises less than 9 MB.
LIMIT = 8_000_000
# Endings of platform tags, with the format and the machine of their programs.
PLATFORMS = {
    r"linux_\d+_\d+_x86_64": ("ELF", 62),
    r"linux_\d+_\d+_aarch64": ("ELF", 183),
    r"macosx_\d+_\d+_x86_64": ("Mach-O", 0x0100_0007),
    r"macosx_\d+_\d+_arm64": ("Mach-O", 0x0100_000C),
    r"win_amd64": ("PE", 0x8664),
    r"win_arm64": ("PE", 0xAA64),
}


def inspect(wheel: Path) -> list[str]:
    """Print the size of a wheel and of its largest files, and return what is wrong with it."""
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / 1e6:.2f} MB")
    problems = [] if size < LIMIT else [f"has {size} bytes, {LIMIT} or more"]
    with zipfile.ZipFile(wheel) as archive:
        members = sorted(archive.infolist(), key=lambda member: -member.compress_size)
        for member in members[:4]:
            print(f"  {member.compress_size / 1e6:6.2f} MB, unpacked {member.file_size / 1e6:6.2f}: {member.filename}")
        names = [member.filename for member in members]
        modules = [name for name in names if re.fullmatch(r"rushlight/_core\..*(so|pyd)", name)]
        if len(modules) != 1:
            return [*problems, f"must have one extension module, has {modules}"]
        problems += module_problems(archive.read(modules[0]), platform_of(wheel))
        problems += metadata_problems(archive, names)
    return problems


def platform_of(wheel: Path) -> str:
    """Return the platform in a wheel's name. Names for manylinux have two that mean the same."""
    return wheel.stem.split("-")[-1].split(".")[0]


def module_problems(program: bytes, platform: str) -> list[str]:
    """Return what keeps an extension module from running on the platform of a wheel's tag."""
    expected = [kind for pattern, kind in PLATFORMS.items() if re.search(rf"{pattern}$", platform)]
    if not expected:
        return [f"has an unknown platform: {platform}"]
    if (found := format_and_machine(program)) != expected[0]:
        return [f"is for {platform}, {expected[0]}, but its extension module is {found}"]
    needed = {int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", program)}
    if platform.startswith("musllinux"):
        return ["is for musl, but its extension module needs glibc"] if needed else []
    promised = re.match(r"manylinux_2_(\d+)_", platform)
    if promised and max(needed, default=0) > int(promised[1]):
        return [f"is for glibc 2.{promised[1]}, but its extension module needs 2.{max(needed)}"]
    return []


def format_and_machine(program: bytes) -> tuple[str, int]:
    """Return the format of a program and the number of its machine."""
    if program.startswith(b"\x7fELF"):
        return ("ELF", int(struct.unpack_from("<H", program, 18)[0]))
    if program.startswith(b"\xcf\xfa\xed\xfe"):
        return ("Mach-O", int(struct.unpack_from("<I", program, 4)[0]))
    if program.startswith(b"MZ"):
        header = struct.unpack_from("<I", program, 0x3C)[0]
        return ("PE", int(struct.unpack_from("<H", program, header + 4)[0]))
    return ("unknown", 0)


def metadata_problems(archive: zipfile.ZipFile, names: list[str]) -> list[str]:
    """Return which of types, licences and the list of crates a wheel lacks."""
    wanted = ["rushlight/py.typed", "rushlight/_core.pyi", "licenses/LICENSE", "licenses/THIRD-PARTY-NOTICES"]
    problems = [f"lacks {end}" for end in wanted if not any(name.endswith(end) for name in names)]
    boms = [name for name in names if name.endswith(".cyclonedx.json")]
    components = len(json.loads(archive.read(boms[0])).get("components", [])) if boms else 0
    print(f"  {components} components in its SBOM")
    return problems if components else [*problems, "lacks an SBOM in CycloneDX"]
