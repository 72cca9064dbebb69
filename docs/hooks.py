"""What the site takes from the rest of the repository, so that nothing is written twice.

A line ``<!-- section: README.md, What is supported -->`` of a page becomes that section of that file, without its
heading; the plots in ``benches/results`` become files beside the pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
MARKER = re.compile(r"^<!-- section: (?P<file>[^,\n]+), (?P<heading>.+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the plots that the benches drew."""
    for plot in sorted((ROOT / "benches/results").glob("*.svg")):
        files.append(File.generated(config, f"results/{plot.name}", abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put sections of other files in."""
    return MARKER.sub(lambda marker: section(marker["file"], marker["heading"]), markdown)


def section(file: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its level or above."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        msg = f"{file} has no heading {heading!r}"
        raise PluginError(msg)
    return found[2].strip()
