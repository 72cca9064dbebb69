"""The plain bar chart of README and the site: texts a second, as SVG for light and for dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

from harness import paths

if TYPE_CHECKING:
    from pathlib import Path

WORKLOAD = "mixed"

_WIDTH = 470
_NAMES = 172
_BARS = 240
_TOP = 58
_ROW = 40
_BAR = 22
_FONTS = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"


class Bar(NamedTuple):
    """A row of the chart; of several runs of a library the fastest counts."""

    name: str
    detail: str
    runs: tuple[str, ...]


BARS = (
    Bar("rushlight", "", ("rushlight",)),
    Bar("OpenVINO", "called directly", ("openvino", "openvino-throughput")),
    Bar("ONNX Runtime", "called directly", ("ort",)),
    Bar("sentence-transformers", "torch", ("sentence-transformers-torch",)),
    Bar("fastembed", "", ("fastembed",)),
)


class Theme(NamedTuple):
    """Colours on a light or a dark page."""

    name: str
    text: str
    faint: str
    ours: str
    others: str


THEMES = (
    Theme("light", "#1f2328", "#59636e", "#c2410c", "#b8c0c8"),
    Theme("dark", "#e6edf3", "#9aa4af", "#fb923c", "#57606a"),
)


def draw(content: dict[str, Any], folder: Path) -> None:
    """Draw the chart of a throughput run, once for each theme; nothing where not all of the bars were measured."""
    workload = content["workloads"].get(WORKLOAD)
    if workload is None or not all(run in workload["contenders"] for bar in BARS for run in bar.runs):
        return
    for theme in THEMES:
        file = folder / f"bars-{content['model']}-{theme.name}.svg"
        file.write_text(_svg(content, workload, theme), encoding="utf-8")
        print(f"drawn in {file.relative_to(paths.ROOT)}")


def _svg(content: dict[str, Any], workload: dict[str, Any], theme: Theme) -> str:
    rates = [max(workload["contenders"][run]["texts_per_second"] for run in bar.runs) for bar in BARS]
    tokens = round(workload["tokens"] / workload["texts"])
    height = _TOP + _ROW * len(BARS) + 24
    box = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" font-family="{_FONTS}">',
        f"<title>{escape(_summary(rates))}</title>",
        _text(0, 18, f"Texts a second, {content['model']}", theme.text, size=16, weight=600),
        _text(0, 38, f"{tokens} tokens a text on average; longer bars are better", theme.faint, size=13),
    ]
    for i, (bar, rate) in enumerate(zip(BARS, rates, strict=True)):
        parts += _row(bar, rate, rate / max(rates), _TOP + i * _ROW, theme)
    parts += [_text(0, height - 4, _machine(content["machine"]), theme.faint, size=12), "</svg>\n"]
    return "\n".join(parts)


def _row(bar: Bar, rate: float, share: float, top: float, theme: Theme) -> list[str]:
    middle = top + _BAR / 2
    ours = bar.runs == ("rushlight",)
    width = max(2, share * _BARS)
    name = middle + 5 if not bar.detail else middle - 1
    parts = [_text(0, name, bar.name, theme.text, size=14, weight=600 if ours else 400)]
    if bar.detail:
        parts.append(_text(0, middle + 13, bar.detail, theme.faint, size=12))
    fill = theme.ours if ours else theme.others
    return [
        *parts,
        f'<rect x="{_NAMES}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="3" fill="{fill}"/>',
        _text(_NAMES + width + 8, middle + 5, f"{rate:.0f}", theme.text, size=14, weight=600 if ours else 400),
    ]


def _text(x: float, y: float, text: str, fill: str, *, size: int, weight: int = 400) -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{fill}">{escape(text)}</text>'


def _summary(rates: list[float]) -> str:
    figures = zip(BARS, rates, strict=True)
    return "Texts a second: " + ", ".join(f"{bar.name} {rate:.0f}" for bar, rate in figures)


def _machine(machine: dict[str, Any]) -> str:
    maker = machine["processor"].partition(",")[0].replace("(R)", "").removesuffix(" Processor")
    return f"{maker}, {machine['info']['instruction_set'].upper()}, {machine['threads']} threads, float32"
