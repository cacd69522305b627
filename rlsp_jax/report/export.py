"""A comparison as files for other documents: each figure a picture of its own, tables as Markdown."""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlsp_jax.report.figures import Figure
from rlsp_jax.report.render import render, write_atomically

MARGIN = 16.0  # points around and between panels
TABLE_FILE = "table.md"


def write_files(folder: Path, figures: Mapping[str, Figure], tables: str) -> None:
    """Write `NAME.svg` for each figure, and the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        write_atomically(folder / f"{name}.svg", picture(figure.panels))
    write_atomically(folder / TABLE_FILE, tables)


def picture(panels: Sequence[str]) -> str:
    """Panels side by side as one SVG that needs no page: its colours are those of the light scheme, on their ground."""
    placed, right, height = [], MARGIN, 0.0
    for panel in panels:
        view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', panel)
        assert view is not None  # plots writes it
        place = f'<svg x="{right:g}" y="{MARGIN:g}" width="{view[1]}" height="{view[2]}" '
        placed.append(str(panel).replace("<svg ", place, 1))  # Markup would escape the place
        right, height = right + float(view[1]) + MARGIN, max(height, float(view[2]) + 2 * MARGIN)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right:g} {height:g}" width="{right:g}" '
        f'height="{height:g}">\n<rect width="100%" height="100%" fill="var(--page)"/>\n{"".join(placed)}</svg>\n'
    )
    return re.sub(r"var\(--(\w+)\)", lambda match: _light_scheme().get(match[1], match[0]), svg)


@functools.lru_cache
def _light_scheme() -> Mapping[str, str]:
    """The page's colours by name, and a font that every viewer has."""
    root = render("style.css.jinja").partition("}")[0]
    return {**dict(re.findall(r"--(\w+): (#\w+);", root)), "sans": "sans-serif"}


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(_line(cells) for cells in (headings, rule, *rows))


def _line(cells: Sequence[object]) -> str:
    texts = (re.sub(r"([\\|<])", r"\\\1", " ".join(str(cell).split())) for cell in cells)
    return f"| {' | '.join(texts)} |"
