"""Hooks that bring parts of the repository into the site, so that nothing is written twice.

A line ``<!-- section: benches/README.md, Method -->`` of a page becomes that section of that file, without its heading.
A line ``<!-- refusals -->`` becomes the table of names of sentence-transformers that ``rushlight.compat`` refuses. The
plots in ``benches/results`` become files beside the pages. The footer shows the version in ``Cargo.toml``.
The reference lists the members of a class in the order of their use, not of the alphabet.
"""

from __future__ import annotations

import re
import runpy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
MARKER = re.compile(r"^<!-- section: (?P<file>[^,\n]+), (?P<heading>.+) -->$", re.MULTILINE)
REFUSALS = "<!-- refusals -->"
CLASS = re.compile(r"^::: rushlight\.(?P<path>\S+)\n    options:\n", re.MULTILINE)
# The members of classes that come first; all others follow in alphabetical order.
FIRST = (
    *("encode", "encode_query", "encode_document", "predict", "rank", "decode", "similarity", "similarity_pairwise"),
    *(
        "encode_iter",
        "encode_async",
        "encode_query_async",
        "encode_document_async",
        "encode_all",
        "hybrid_similarity",
        "hybrid_similarity_pairwise",
        "encode_chunks",
        "chunk",
        "count_tokens",
        "tokenize",
    ),
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Show the version in the footer of every page."""
    found = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        msg = "Cargo.toml has no version"
        raise PluginError(msg)
    config.copyright = f"rushlight {found[1]} · Apache-2.0"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the plots of the benchmarks."""
    benches = ROOT / "benches"
    for plot in sorted(benches.glob("results/*/*.svg")):
        files.append(File.generated(config, plot.relative_to(benches).as_posix(), abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace each marker by the section or the table that it names, and list the members of classes."""
    markdown = MARKER.sub(lambda marker: section(marker["file"], marker["heading"]), markdown)
    markdown = markdown.replace(REFUSALS, refusals()) if REFUSALS in markdown else markdown
    return CLASS.sub(lambda directive: directive[0] + members(directive["path"]), markdown)


@cache
def package() -> Any:
    """Return the Python package, as its source describes it."""
    return griffe.load("rushlight", search_paths=[ROOT / "python"])


def members(path: str) -> str:
    """Return the option that lists a class's public members in the order of their use; nothing for a module."""
    found = package()[path]
    if not found.is_class:
        return ""
    public = [name for name in found.all_members if not name.startswith("_")]
    public.sort(key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return f"      members: [{', '.join(public)}]\n"


def refusals() -> str:
    """Return the table of refused names, out of the Python package's source."""
    table: str = runpy.run_path(str(ROOT / "python/rushlight/compat/_refusals.py"))["table"]()
    return table


def section(file: str, heading: str) -> str:
    """Return the text under a heading, up to the next heading of its level or above."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        msg = f"{file} has no heading {heading!r}"
        raise PluginError(msg)
    return found[2].strip()
