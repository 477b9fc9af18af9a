"""Draws lines over a logarithmic axis as an SVG picture: small charts beside each other, without a library."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 380, 250  # of one chart
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 38, 40
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")
STYLE = """<style>
  text { font: 12px sans-serif; fill: #57606a; } .head { font-weight: bold; font-size: 13px; fill: #24292f; }
  .grid { stroke: #d0d7de; } .aim { stroke: #57606a; stroke-dasharray: 4 4; }
  @media (prefers-color-scheme: dark) {
    text { fill: #8b949e; } .head { fill: #c9d1d9; } .grid { stroke: #30363d; } .aim { stroke: #8b949e; }
  }
</style>"""


@dataclass(frozen=True)
class Chart:
    """One chart: lines by their names; ``aim``: a dashed line at what is aimed for, which is said in words."""

    head: str
    lines: Mapping[str, Points]
    aim: tuple[float, str] | None = None


def svg(charts: Sequence[Chart], columns: int, label: str) -> str:
    """The picture. ``label``: of the axis below, which is logarithmic; the other begins at 0."""
    rows = ceil(len(charts) / columns)
    names = list(dict.fromkeys(name for chart in charts for name in chart.lines))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    width, height = columns * WIDTH, rows * HEIGHT + 24
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">', STYLE]
    for number, name in enumerate(names):
        x = LEFT + 130 * number
        parts.append(f'<rect x="{x}" y="8" width="14" height="4" fill="{colours[name]}"/>')
        parts.append(f'<text x="{x + 20}" y="14">{escape(name)}</text>')
    for number, chart in enumerate(charts):
        x, y = number % columns * WIDTH, number // columns * HEIGHT + 20
        parts.append(f'<g transform="translate({x} {y})">{_chart(chart, colours, label)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _chart(chart: Chart, colours: Mapping[str, str], label: str) -> str:
    points = [point for line in chart.lines.values() for point in line]
    if not points:
        raise ValueError(f"{chart.head}: there is nothing to draw")
    first, last = floor(log10(min(x for x, _ in points))), ceil(log10(max(x for x, _ in points)))
    last = max(last, first + 1)
    step = _step(max([y for _, y in points] + ([chart.aim[0]] if chart.aim else [])))
    top = step * 5

    def at(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - first) / (last - first)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(TOP + (1 - y / top) * (HEIGHT - TOP - BOTTOM), 1),
        )

    parts = [f'<text class="head" x="{LEFT}" y="{TOP - 12}">{escape(chart.head)}</text>']
    for number in range(6):
        _, y = at(10**first, step * number)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{step * number:,.6g}</text>')
    for power in range(first, last + 1):
        x, y = at(10**power, 0)
        parts.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{_words(power)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(label)}</text>')
    if chart.aim is not None:
        _, y = at(10**first, chart.aim[0])
        parts.append(f'<line class="aim" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{y + 14}" text-anchor="end">{escape(chart.aim[1])}</text>')
    for name, line in chart.lines.items():
        places = [at(*point) for point in sorted(line)]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colours[name]}"/>' for x, y in places]
    return "\n".join(parts)


def _step(largest: float) -> float:
    """A round fifth of the axis, which holds the largest value."""
    if largest <= 0:
        return 0.2
    power = 10.0 ** floor(log10(largest / 5))
    return next(one * power for one in (1, 2, 2.5, 4, 5, 6, 8, 10) if one * power * 5 >= largest * 0.999)


def _words(power: int) -> str:
    for size, letter in ((9, "G"), (6, "M"), (3, "k")):
        if power >= size:
            return f"{10 ** (power - size)}{letter}"
    return f"{10.0**power:g}"


def bars(head: str, values: Sequence[tuple[str, float]], strong: Container[str] = ()) -> str:
    """A picture of bars below each other with their names and numbers; those in ``strong`` stand out."""
    if not values:
        raise ValueError(f"{head}: there is nothing to draw")
    largest = max(value for _, value in values)
    width, high = 2 * WIDTH, 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {len(values) * high + 44}" role="img">',
        STYLE,
        f'<text class="head" x="8" y="20">{escape(head)}</text>',
    ]
    for number, (name, value) in enumerate(values):
        y = 34 + number * high
        long = max(1.0, round((width - 240) * value / largest, 1))
        colour = COLOURS[0] if name in strong else "#8c959f"
        parts.append(f'<text x="140" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="148" y="{y}" width="{long}" height="{high - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{154 + long}" y="{y + 14}">{value:,.0f}</text>')
    return "\n".join([*parts, "</svg>\n"])
