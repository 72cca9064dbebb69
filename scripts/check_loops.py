"""Disassemble the innermost loops of the matrix products: no sum may leave its register, no product be rounded alone.

Compilers keep sums in registers only for loops of a certain shape, and say nothing when they stop. The program is the
bench of kernels, built for x86-64.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Multiply-adds of each kind of product: float32 (and widened bfloat16), int8 by VNNI, int8 by AVX2.
MULTIPLY_ADD = re.compile(r"(?P<kind>vfmadd\d+ps|vpdpbusd|vpmaddubsw)\s.*%(?P<register>[yz]mm)\d+")
# A number of a row, for all lanes: from memory by an address in registers. Constants have addresses relative to rip.
BROADCAST = re.compile(
    r"vp?broadcast[sd][sd]?\s+-?(0x)?[0-9a-f]*\(%(?!rip|rsp|rbp)|\(%(?!rip|rsp|rbp)[^)]*\)\{1to\d+\}"
)
SPILL = re.compile(r"\(%rsp[,)].*%[xyz]mm|%[xyz]mm.*\(%rsp[,)]")
UNFUSED = re.compile(r"vmulps\s.*%[yz]mm")
# SSE multiplies and adds apart, and spreads a number over the lanes of its register.
SSE_MULTIPLY = re.compile(r"mulps\s.*%xmm")
SSE_BROADCAST = re.compile(r"(shufps|pshufd)\s+\$0x0,")
JUMP = re.compile(r"j[a-z]+\s+([0-9a-f]+)")
FEWEST = 4
# Loops that there must be, so that the check can't pass for want of loops.
EXPECTED = {
    ("vfmadd", "ymm"): 15,
    ("vfmadd", "zmm"): 15,
    ("vpdpbusd", "ymm"): 4,
    ("vpdpbusd", "zmm"): 4,
    ("vpmaddubsw", "ymm"): 3,
    ("mulps", "xmm"): 15,
}

Instruction = tuple[int, str]


def built() -> Path:
    """Build the bench of kernels, and return the program."""
    command = [
        "cargo",
        "bench",
        "--locked",
        "--features",
        "bench",
        "--bench",
        "kernels",
        "--no-run",
        "--message-format",
        "json",
    ]
    messages = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return next(Path(path) for message in messages if (path := json.loads(message).get("executable")))


def functions(program: Path) -> Iterator[list[Instruction]]:
    """Yield the instructions of each function, with their addresses."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(program)]
    body: list[Instruction] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listing:
        assert listing.stdout is not None
        for line in listing.stdout:
            if line.endswith(">:\n"):
                yield body
                body = []
            elif match := re.match(r"\s+([0-9a-f]+):\s+(.*)", line):
                body.append((int(match[1], 16), match[2]))
    yield body


def loops(body: list[Instruction]) -> Iterator[list[Instruction]]:
    """Yield the loops without branches: the code between a jump backwards and its target."""
    start = {address: i for i, (address, _) in enumerate(body)}
    branch = -1
    for i, (_, text) in enumerate(body):
        if not text.startswith(("j", "call", "ret")):
            continue
        match = JUMP.match(text)
        first = start.get(int(match[1], 16)) if match else None
        if first is not None and branch < first <= i:
            yield body[first : i + 1]
        branch = i


def kind_of(loop: list[Instruction]) -> tuple[str, str] | None:
    """Return the multiply-add and the register of a tile's loop, or none for other loops."""
    if any(SSE_BROADCAST.match(text) for _, text in loop):
        return ("mulps", "xmm") if sum(1 for _, text in loop if SSE_MULTIPLY.match(text)) >= FEWEST else None
    found = Counter((match["kind"], match["register"]) for _, text in loop if (match := MULTIPLY_ADD.search(text)))
    unfused = sum(1 for _, text in loop if UNFUSED.search(text))
    if not any(BROADCAST.search(text) for _, text in loop) or sum(found.values()) + unfused < FEWEST:
        return None
    if not found:
        return ("vmulps", "")
    kind, register = found.most_common(1)[0][0]
    return (next(name for name in ("vfmadd", "vpdpbusd", "vpmaddubsw") if name in kind), register)


def main() -> None:
    """Check the program that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, nargs="?", help="default: the bench of kernels, built anew")
    program = parser.parse_args().program or built()
    counts: Counter[tuple[str, str]] = Counter()
    problems = []
    for body in functions(program):
        for loop in loops(body):
            kind = kind_of(loop)
            if kind is None:
                continue
            counts[kind] += 1
            for address, text in loop:
                if SPILL.search(text):
                    problems.append(f"{address:x}: a sum or a factor is on the stack: {text}")
                if UNFUSED.search(text):
                    problems.append(f"{address:x}: a product that isn't fused with its sum: {text}")
    for kind, fewest in EXPECTED.items():
        print(f"{counts[kind]:3} loops of {kind[0]} with {kind[1]}")
        if counts[kind] < fewest:
            problems.append(f"{' '.join(kind)}: expected at least {fewest} loops of tiles, found {counts[kind]}")
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
