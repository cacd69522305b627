"""Charts as inline SVG whose colours and fonts are the page's, so that they follow its light or dark scheme.

A colour is drawn as a placeholder and becomes a CSS variable in the SVG. Text stays text. Equal data gives equal bytes.
"""

import dataclasses
import enum
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator


class Color(enum.StrEnum):
    """Placeholders; the name in lower case is the page's CSS variable."""

    INK = "#0a0001"
    MUTED = "#0a0002"
    GRID = "#0a0003"
    BEFORE = "#0a0004"
    BLUE = "#0a0005"
    ORANGE = "#0a0006"
    GREEN = "#0a0007"
    PURPLE = "#0a0008"
    RED = "#0a0009"
    GOLD = "#0a000a"


CYCLE = (Color.BLUE, Color.ORANGE, Color.GREEN, Color.PURPLE, Color.RED, Color.GOLD)

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": Color.INK,
    "axes.edgecolor": Color.GRID,
    "axes.labelcolor": Color.MUTED,
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "grid.color": Color.GRID,
    "grid.linewidth": 0.8,
    "xtick.color": Color.GRID,
    "xtick.labelcolor": Color.MUTED,
    "xtick.labelsize": 10,
    "ytick.labelcolor": Color.MUTED,
    "ytick.labelsize": 10,
    "ytick.major.size": 0,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}

_MAX_POINTS = 300
_LABEL_GAP = 0.085  # of the axes' height, between two direct labels
_LABEL_LENGTH = 22  # characters of a curve's name beside it; the tables have the whole name


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve; `noisy` ones are drawn thin with their moving average on top. NaN points are left out."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    color: Color
    low: Sequence[float] | None = None  # with `high`, a band
    high: Sequence[float] | None = None
    noisy: bool = False
    dashed: bool = False
    dots: bool = False


@dataclasses.dataclass(frozen=True)
class Bars:
    """One bar per group, with a whisker of ± `error` where it is finite."""

    label: str
    values: Sequence[float]
    errors: Sequence[float]
    color: Color


def line_chart(
    name: str,
    title: str,
    x_label: str,
    lines: Sequence[Line],
    *,
    percent: bool = False,
    small: bool = False,
    log: bool = False,
) -> Markup | None:
    """Curves with labels at their ends; None when no curve has two points. `name` is unique on the page.

    Beside such a curve one with `dots` may be a single one. With `log` equal ratios of x are equally far apart; every
    x is positive then.
    """
    drawn = [_finite(line) for line in lines]
    drawn = [line for line in drawn if len(line.x) > (0 if line.dots else 1)]
    if not any(len(line.x) > 1 for line in drawn):
        return None

    def draw(axes: Axes) -> None:
        for line in drawn:
            _draw_line(axes, line)
        _limit(axes, drawn, percent)
        _format_axes(axes, x_label, percent, log)
        _label_ends(axes, drawn, percent)

    width = 4.3 if small else 5.8
    room = 0.15 + 0.092 * max(len(_end_label(line, len(drawn), percent)) for line in drawn)  # inches
    return _render(name, title, draw, size=(width, 2.9 if small else 3.6), right=1 - max(0.62, room) / width)


def bar_chart(
    name: str, title: str, x_label: str, groups: Sequence[str], bars: Sequence[Bars], *, percent: bool = False
) -> Markup | None:
    """Bars side by side in each group; None when there is nothing to draw. `name` is unique on the page."""
    tops = [v + (e if math.isfinite(e) else 0) for b in bars for v, e in zip(b.values, b.errors, strict=True)]
    tops = [top for top in tops if math.isfinite(top)]
    if not tops:
        return None

    def draw(axes: Axes) -> None:
        width = 0.78 / len(bars)
        for i, bar in enumerate(bars):
            places = [group + (i - (len(bars) - 1) / 2) * width for group in range(len(groups))]
            _draw_bars(axes, places, width, bar, percent)
        axes.set_xticks(range(len(groups)), [group.replace(", ", ",\n") for group in groups])
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel(x_label)
        axes.set_ylim(0, max(max(tops) * 1.12, 0.1))
        _format_y(axes, percent)
        if len(bars) > 1:
            axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=3, frameon=False, fontsize=10.5)

    legend_rows = math.ceil(len(bars) / 3) if len(bars) > 1 else 0
    return _render(name, title, draw, size=(5.8, 3.6 + 0.1 * legend_rows), right=0.98, above=0.24 * legend_rows)


def heat_map(
    name: str, title: str, x_label: str, y_label: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]
) -> Markup | None:
    """Shares as cells, the fuller the larger, each with its figure; a row per name, the first at the bottom.

    None when there is nothing to draw. `name` is unique on the page.
    """
    if not columns or not any(math.isfinite(value) for values in rows.values() for value in values):
        return None

    def draw(axes: Axes) -> None:
        for y, values in enumerate(rows.values()):
            for x, value in enumerate(values):
                if math.isfinite(value):
                    cell = Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=Color.BLUE, alpha=0.08 + 0.55 * value)
                    axes.add_patch(cell)
                axes.text(x, y, f"{value:.0%}" if math.isfinite(value) else "–", ha="center", va="center", fontsize=9.5)
        axes.grid(False)
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(-0.5, len(rows) - 0.5)
        axes.set_xticks(range(len(columns)), list(columns))
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)

    return _render(name, title, draw, size=(5.8, 3.6), right=0.98)


def _draw_bars(axes: Axes, places: Sequence[float], width: float, bar: Bars, percent: bool) -> None:
    values, errors = np.nan_to_num(np.array(bar.values)), np.nan_to_num(np.array(bar.errors))
    axes.bar(places, values, width * 0.92, color=bar.color, label=bar.label)
    axes.errorbar(places, values, errors, fmt="none", ecolor=Color.INK, elinewidth=0.9, capsize=0, alpha=0.7)
    for place, value, top, known in zip(places, values, values + errors, np.isfinite(bar.values), strict=True):
        text = (f"{value:.0%}" if percent else compact(value)) if known else "–"
        axes.annotate(text, (place, top), (0, 3), textcoords="offset points", ha="center", fontsize=9.5)


def compact(value: float) -> str:
    """A number for an axis or a label: 1200000 → "1.2M", 0.1234 → "0.123"."""
    for size, unit, least in ((1e9, "B", 1e9), (1e6, "M", 1e6), (1e3, "k", 1e4)):
        if abs(value) >= least:
            return f"{value / size:.3g}{unit}".replace("-", "−")
    text = f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return text.replace("e-0", "e-").replace("-", "−")


def _finite(line: Line) -> Line:
    x, y = np.array(line.x, float), np.array(line.y, float)
    keep = np.isfinite(x) & np.isfinite(y)
    kept = dataclasses.replace(line, x=x[keep].tolist(), y=y[keep].tolist())
    if line.low is None or line.high is None:
        return kept
    low, high = np.array(line.low, float)[keep], np.array(line.high, float)[keep]
    return dataclasses.replace(kept, low=low.tolist(), high=high.tolist())


def _draw_line(axes: Axes, line: Line) -> None:
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=line.color, alpha=0.18, linewidth=0)
    x, y = np.asarray(line.x), np.asarray(line.y)
    if line.noisy and len(x) >= 20:
        x, y = _thin(x), _thin(y)
        axes.plot(x, y, color=line.color, linewidth=0.9, alpha=0.3)
        y = _moving_average(y, window=max(3, len(y) // 20))
    style = {"linestyle": (0, (4, 3)), "linewidth": 1.4} if line.dashed else {}
    axes.plot(x, y, color=line.color, marker="o" if line.dots else None, markersize=4, **style)


def _thin(values: np.ndarray) -> np.ndarray:
    """Means of neighbours, so that a long run's curve has few points."""
    return np.array([part.mean() for part in np.array_split(values, min(len(values), _MAX_POINTS))])


def _moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """Centred; the window shrinks at both ends."""
    half = window // 2
    return np.array([values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))])


def _limit(axes: Axes, lines: Sequence[Line], percent: bool) -> None:
    """Start at 0 unless that would flatten the curves; give a flat curve a range."""
    values = [y for line in lines for part in (line.y, line.low, line.high) for y in part or ()]
    low, high = min(values), max(values)
    if percent:
        axes.set_ylim(0, min(1.02, max(high * 1.06, 0.1)))
    elif low >= 0 and low < 0.5 * high:
        axes.set_ylim(0, high * 1.06)
    elif high - low <= 1e-3 * abs(high):
        margin = 0.05 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)


def _format_axes(axes: Axes, x_label: str, percent: bool, log: bool) -> None:
    axes.set_xlabel(x_label)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)) if log else MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    _format_y(axes, percent)


def _format_y(axes: Axes, percent: bool) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    formatter: Callable[[float, Any], str] = (lambda v, _: f"{v:.0%}") if percent else (lambda v, _: compact(v))
    axes.yaxis.set_major_formatter(FuncFormatter(formatter))


def _end(line: Line) -> float:
    """The last value; of a noisy curve, the mean of its last twentieth."""
    last = max(1, len(line.y) // 20) if line.noisy else 1
    return float(np.mean(line.y[-last:]))


def _end_label(line: Line, num_lines: int, percent: bool) -> str:
    figure = f"{_end(line):.0%}" if percent else compact(_end(line))
    return f"{_short(line.label)} {figure}" if num_lines > 1 else figure


def _short(label: str) -> str:
    """Both ends of a name that is too long: names of runs often begin or end alike."""
    half = _LABEL_LENGTH // 2
    return label if len(label) <= _LABEL_LENGTH else f"{label[: half - 1]}…{label[-half:]}"


def _label_ends(axes: Axes, lines: Sequence[Line], percent: bool) -> None:
    """Each curve's name and last value beside its end, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    wanted = [(_end(line) - low) / (high - low) for line in lines]
    for line, height in zip(lines, spread(wanted, _LABEL_GAP), strict=True):
        text = _end_label(line, len(lines), percent)
        axes.text(1.02, height, text, transform=axes.transAxes, color=line.color, va="center", fontsize=10.5)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in the same order at least `gap` apart, by a pass upwards and a pass down from the top."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, float)[order]
    ceiling = max(1.0, placed[-1])
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    spread_out = np.empty_like(placed)
    spread_out[order] = placed
    return spread_out.tolist()


def _render(
    name: str, title: str, draw: Callable[[Axes], None], *, size: tuple[float, float], right: float, above: float = 0.0
) -> Markup:
    """Draw in axes with fixed margins, so that panels side by side align; `above` inches stay free below the title."""
    left, bottom, top = 0.62 / size[0], 0.58 / size[1], 1 - (0.48 + above) / size[1]
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size)
        figure.subplots_adjust(left=left, right=right, bottom=bottom, top=top)
        axes = figure.add_subplot()
        axes.set_title(title, x=-left / (right - left), pad=14 + 72 * above)
        draw(axes)
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue(), name, title)


def _inline(svg: str, name: str, title: str) -> Markup:
    """Only what a page needs: no prologue, no metadata, ids that no other chart has, the page's colours and font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', svg)
    body = re.sub(r"\n\s*", "\n", svg[svg.index(">") + 1 :])
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    for color in Color:
        body = body.replace(color.value, f"var(--{color.name.lower()})")
    body = body.replace("'DejaVu Sans'", "var(--sans)").replace("var(--sans), sans-serif", "var(--sans)")
    label = Markup.escape(title)
    return Markup(f'<svg {view.group() if view else ""} role="img" aria-label="{label}">{body}')
