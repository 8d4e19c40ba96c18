"""Small pictures as inline SVG, drawn by hand: no library, no network, a few kilobytes each.

Every function returns one ``<svg>`` element. What comes from data is escaped; colours are CSS
variables of the page, so that a picture follows the page's theme.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplm.evaluate.calibration import Reliability

Floats = npt.NDArray[np.floating[Any]]

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 42
POINTS = 400
"""A line has at most so many points."""


def smoothed(values: Floats, window: int) -> Floats:
    """(N,) the mean of the last ``window`` values at each place, of fewer at the beginning; NaN are left out."""
    known = ~np.isnan(values)
    total, count = (np.concatenate([[0.0], np.cumsum(part)]) for part in (np.where(known, values, 0.0), known))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    mean: Floats = np.full(len(values), np.nan)
    np.divide(total[stop] - total[start], count[stop] - count[start], out=mean, where=count[stop] > count[start])
    return mean


def line(x: Sequence[float], y: Sequence[float], *, across: str, up: str, marks: bool = False, raw: Sequence[float] | None = None) -> str:
    """A line chart of N points.

    Args:
        x: ascending.
        y: NaN breaks the line.
        across: what x is.
        up: what y is.
        marks: a dot at every point and its value at the last.
        raw: N values drawn thinly behind, such as the losses before smoothing; they do not set the scale.
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    known = ys[np.isfinite(ys)]
    if not len(known):
        return ""
    low, high = _margin(float(known.min()), float(known.max()))
    frame = _Frame(float(xs[0]), float(xs[-1]) if xs[-1] > xs[0] else float(xs[0]) + 1, low, high)
    behind = "" if raw is None else f'<path d="{frame.path(xs, np.clip(np.asarray(raw, float), low, high))}" class="faint"/>'
    dots = "".join(
        f'<circle cx="{frame.x(a):.1f}" cy="{frame.y(b):.1f}" r="3.5" class="dot"/>' for a, b in zip(xs, ys, strict=True) if marks
    )
    if marks and np.isfinite(ys[-1]):
        dots += f'<text x="{frame.x(xs[-1]) - 6:.1f}" y="{frame.y(ys[-1]) - 9:.1f}" class="value" text-anchor="end">{ys[-1]:.3f}</text>'
    body = f'{behind}<path d="{frame.path(xs, ys)}" class="line"/>{dots}'
    return _svg(f"{up} by {across}", frame.axes(across, up, whole_x=True) + body)


STRIP = 62
"""Height of the counts below a reliability diagram."""


def reliability(table: Reliability, before: Reliability | None = None) -> str:
    """Said probability against what happened, with 95 % intervals and the diagonal of honesty; below, how many rows each bin holds.

    Args:
        table: what is shown.
        before: the same rows before calibration, drawn behind in grey.
    """
    frame = _Frame(0, 1, 0, 1)
    parts = [frame.axes("probability that the model said", "share that came true")]
    parts.append(f'<path d="{frame.path(np.array([0.0, 1.0]), np.array([0.0, 1.0]))}" class="guide"/>')
    for one, kind, word in ((before, " past", "before calibration"), (table, "", "calibrated" if before else "")):
        if one is None:
            continue
        low, high = one.interval()
        used = one.count > 0
        parts.append(f'<path d="{frame.path(one.said[used], one.happened[used])}" class="line{kind}"/>')
        for at in np.flatnonzero(used):
            x, y = frame.x(one.said[at]), frame.y(one.happened[at])
            title = f"said {one.said[at]:.3f}, happened {one.happened[at]:.3f} [{low[at]:.3f}, {high[at]:.3f}], {one.count[at]:,} rows"
            title = f"<title>{word + ': ' if word else ''}{title}</title>"
            if not kind:
                parts.append(f'<path d="M{x:.1f} {frame.y(low[at]):.1f}V{frame.y(high[at]):.1f}" class="whisker"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 if kind else 4}" class="dot{kind}">{title}</circle>')
        if word:
            y = TOP + (12 if kind else 30)
            parts.append(f'<path d="M{LEFT + 12} {y}h22" class="line{kind}"/><circle cx="{LEFT + 23}" cy="{y}" r="3.5" class="dot{kind}"/>')
            parts.append(f'<text x="{LEFT + 41}" y="{y + 4}" class="name">{word}</text>')
    parts.append(_counts(frame, table, before))
    return _svg("reliability diagram", "".join(parts), height=HEIGHT + STRIP)


def _counts(frame: _Frame, table: Reliability, before: Reliability | None) -> str:
    """Standing bars of the rows in each bin, those of ``before`` as outlines."""
    foot, full = HEIGHT + STRIP - 6, STRIP - 18
    most = max(int(one.count.max(initial=0)) for one in (table, before) if one is not None) or 1
    parts = []
    for one, kind in ((table, "bar"), (before, "outline")):
        for left, right, count in [] if one is None else zip(one.edges[:-1], one.edges[1:], one.count, strict=True):
            if count:
                tall, x = max(full * count / most, 1.0), frame.x(left) + 1
                title = f"<title>{count:,} rows from {left:.2f} to {right:.2f}</title>"
                parts.append(
                    f'<rect x="{x:.1f}" y="{foot - tall:.1f}" width="{frame.x(right) - x - 1:.1f}" height="{tall:.1f}" class="{kind}">{title}</rect>'
                )
    parts.append(f'<path d="M{LEFT} {foot}H{WIDTH - RIGHT}" class="axis"/>')
    parts.append(f'<text x="{LEFT - 7}" y="{foot - full + 8}" class="tick" text-anchor="end">{_short(most)}</text>')
    parts.append(f'<text transform="translate(13 {foot - full / 2}) rotate(-90)" class="name" text-anchor="middle">rows</text>')
    return "".join(parts)


def confusion(counts: npt.NDArray[Any], labels: Sequence[str]) -> str:
    """A (C, C) heat map, each row (truth) in shares of its own rows, counts written where there is room."""
    classes = len(counts)
    longest = min(18, max((len(label) for label in labels), default=1))
    room, cell = 18 + 7 * longest, 46 if classes <= 8 else max(18, 380 // classes)
    side = cell * classes
    width, height = room + side + 8, side + room + 26
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    parts = [f'<text x="{room + side / 2:.0f}" y="{height - 4}" class="name" text-anchor="middle">decided</text>']
    for row, column in itertools.product(range(classes), repeat=2):
        share, count = shares[row, column], int(counts[row, column])
        x, y = room + cell * column, 4 + cell * row
        title = f"<title>{escape(labels[row])} → {escape(labels[column])}: {count:,} ({share:.0%})</title>"
        kind = "hit" if row == column else "slip"
        parts.append(f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3" class="empty"/>')
        parts.append(
            f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3" class="{kind}" fill-opacity="{share:.3f}">{title}</rect>'
        )
        if count and cell >= 34:
            light = " light" if share > 0.55 else ""
            parts.append(
                f'<text x="{x + cell / 2 - 1}" y="{y + cell / 2 + 3}" class="count{light}" text-anchor="middle">{_short(count)}</text>'
            )
    for place, label in enumerate(labels):
        middle = 4 + cell * place + cell / 2
        shown = escape(label if len(label) <= 18 else label[:17] + "…")
        parts.append(f'<text x="{room - 8}" y="{middle + 3:.1f}" class="name" text-anchor="end">{shown}</text>')
        parts.append(
            f'<text transform="translate({room - 1 + middle:.1f} {side + 12}) rotate(-60)" class="name" text-anchor="end">{shown}</text>'
        )
    return _svg("confusion matrix, truth by row", "".join(parts), width, height, most=min(width, 620))


def whisker(value: float, low: float, high: float, least: float, most: float) -> str:
    """A value with its interval on a scale from ``least`` to ``most``, for one cell of a table."""
    if not all(map(math.isfinite, (value, low, high))) or most <= least:
        return ""
    a, b, c = (4 + 112 * min(max((v - least) / (most - least), 0), 1) for v in (low, value, high))
    body = f'<path d="M4 8H116" class="grid"/><path d="M{a:.1f} 8H{c:.1f}" class="line"/><circle cx="{b:.1f}" cy="8" r="4" class="dot"/>'
    return _svg(f"{value:.3f} from {low:.3f} to {high:.3f}", body, 120, 16, most=120)


def bars(labels: Sequence[str], values: Sequence[float], *, hot: Sequence[str] = (), most: float | None = None) -> str:
    """Lying bars, one a label, the value at its end; labels of ``hot`` in the colour of warnings.

    Args:
        labels: N, at most 26 letters of each are shown.
        values: N, 0 or more.
        hot: labels to point at.
        most: the value of a full bar; None = the largest.
    """
    if not labels:
        return ""
    row, full = 21, most or max(max(values), 1e-9)
    parts = []
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        y = 4 + row * place
        shown = escape(label if len(label) <= 26 else label[:25] + "…")
        wide = 226 * min(max(value / full, 0.0), 1.0)
        tone = "fill hot" if label in hot else "fill"
        parts.append(
            f'<text x="172" y="{y + 12}" class="name" text-anchor="end">{shown}</text><rect x="180" y="{y + 1}" width="226" height="14" rx="3" class="empty"/>'
        )
        parts.append(
            f'<rect x="180" y="{y + 1}" width="{wide:.1f}" height="14" rx="3" class="{tone}"><title>{shown}: {value:.4g}</title></rect>'
        )
        parts.append(f'<text x="412" y="{y + 12}" class="tick">{_short(round(value, 2))}</text>')
    return _svg("bars", "".join(parts), WIDTH, 8 + row * len(labels))


def lines(labels: Sequence[str], series: Sequence[Sequence[float]], *, up: str, log: bool = False) -> str:
    """Several lines over the same labels, classes ``s0`` to ``s5`` in their order; a lone point is a dot.

    Args:
        labels: N, of which about five are written below.
        series: at most 6 of N values; NaN breaks a line.
        up: what the values are.
        log: a logarithmic scale, for series of very different size; values of 0 are left out.
    """
    drawn = [np.asarray(one, float) for one in series[:6]]
    if log:
        drawn = [np.log10(np.where(one > 0, one, np.nan)) for one in drawn]
    known = np.concatenate([one[np.isfinite(one)] for one in drawn]) if drawn else np.array([])
    if not len(known) or len(labels) < 2:
        return ""
    low, high = (
        (math.floor(known.min()), max(math.ceil(known.max()), math.floor(known.min()) + 1))
        if log
        else (0.0, float(known.max()) * 1.08 or 1.0)
    )
    frame, x = _Frame(0, len(labels) - 1, low, high), np.arange(len(labels), dtype=float)
    parts = []
    for tick in range(int(low), int(high) + 1) if log else _ticks(low, high):
        y = frame.y(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>')
        parts.append(
            f'<text x="{LEFT - 7}" y="{y + 4:.1f}" class="tick" text-anchor="end">{_short(10.0**tick) if log else f"{tick:.4g}"}</text>'
        )
    step = max(1, math.ceil(len(labels) / 5))
    for place in range(0, len(labels), step):
        parts.append(
            f'<text x="{frame.x(place):.1f}" y="{HEIGHT - BOTTOM + 17}" class="tick" text-anchor="middle">{escape(labels[place])}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(13 {middle}) rotate(-90)" class="name" text-anchor="middle">{escape(up)}</text>')
    for number, one in enumerate(drawn):
        parts.append(f'<path d="{frame.path(x, one)}" class="line s{number}"/>')
        alone = np.isfinite(one) & ~np.isfinite(np.append(one[1:], np.nan)) & ~np.isfinite(np.append([np.nan], one[:-1]))
        parts += [
            f'<circle cx="{frame.x(a):.1f}" cy="{frame.y(b):.1f}" r="2.5" class="dot"/>' for a, b in zip(x[alone], one[alone], strict=True)
        ]
    return _svg(f"{up} over time", "".join(parts))


@dataclass(frozen=True)
class Mark:
    """A dot of a scatter plot."""

    x: float
    """Above 0: the scale is logarithmic."""
    y: float
    name: str = ""
    """Written beside it, where there is room."""
    series: int = 0
    """Its colour, 0 to 5 and round again."""
    low: float = math.nan
    high: float = math.nan
    """The interval of y."""
    hollow: bool = False


def scatter(marks: Sequence[Mark], *, across: str, up: str, floors: Sequence[tuple[str, float]] = ()) -> str:
    """Dots over a logarithmic x, with their intervals and names.

    Args:
        marks: the dots; those whose numbers are not finite, or x not above 0, are left out.
        across: what x is.
        up: what y is.
        floors: (name, y) of dashed lines across: what costs nothing.
    """
    known = [mark for mark in marks if mark.x > 0 and math.isfinite(mark.x) and math.isfinite(mark.y)]
    if not known:
        return ""
    ys = [y for mark in known for y in (mark.y, mark.low, mark.high) if math.isfinite(y)] + [y for _, y in floors]
    left, right = math.log10(min(mark.x for mark in known)), math.log10(max(mark.x for mark in known))
    room = (right - left) * 0.08 or 0.3
    frame = _Frame(left - room, right + room, *_margin(min(ys), max(ys)))
    parts = [frame.axes(across, up, log_x=True)]
    for name, y in floors:
        at = frame.y(y)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" class="guide"/>')
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{at - 4:.1f}" class="tick" text-anchor="end">{escape(name)}</text>')
    taken: list[tuple[float, float, float]] = []
    for mark in known:
        x, y, tone = frame.x(math.log10(mark.x)), frame.y(mark.y), f"s{mark.series % 6}"
        if math.isfinite(mark.low) and math.isfinite(mark.high):
            parts.append(f'<path d="M{x:.1f} {frame.y(mark.low):.1f}V{frame.y(mark.high):.1f}" class="line {tone}"/>')
        title = f"<title>{escape(mark.name)}: {mark.y:.4g} at {mark.x:.4g}</title>"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 if mark.hollow else 2.3}" class="mark {tone}{" hollow" if mark.hollow else ""}">{title}</circle>'
        )
        if mark.name:
            shown = mark.name if len(mark.name) <= 24 else mark.name[:23] + "…"
            wide, end = 6.6 * len(shown), x > WIDTH / 2
            start = x - 9 - wide if end else x + 9
            level = y - 7
            while any(abs(level - other) < 12 and start < stop and start + wide > begin for begin, stop, other in taken):
                level += 12  # a name that would cover another one steps down
            taken.append((start, start + wide, level))
            anchor, at = ("end", x - 9) if end else ("start", x + 9)
            parts.append(f'<text x="{at:.1f}" y="{level:.1f}" class="name" text-anchor="{anchor}">{escape(shown)}</text>')
    return _svg(f"{up} by {across}", "".join(parts))


class _Frame:
    """A plot's inside: data to pixels."""

    def __init__(self, left: float, right: float, low: float, high: float) -> None:
        self._x, self._y = (left, right), (low, high)

    def x(self, value: float) -> float:
        left, right = self._x
        return LEFT + (value - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def path(self, xs: Floats, ys: Floats) -> str:
        pen, out = "M", []
        for a, b in zip(xs, ys, strict=True):
            if not math.isfinite(b):
                pen = "M"
                continue
            out.append(f"{pen}{self.x(a):.1f} {self.y(b):.1f}")
            pen = "L"
        return "".join(out)

    def axes(self, across: str, up: str, *, whole_x: bool = False, log_x: bool = False) -> str:
        parts = []
        for tick in _ticks(*self._y):
            y = self.y(tick)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" class="tick" text-anchor="end">{tick:.4g}</text>')
        for tick, word in _powers(*self._x) if log_x else [(tick, _short(tick)) for tick in _ticks(*self._x, whole=whole_x)]:
            parts.append(f'<text x="{self.x(tick):.1f}" y="{HEIGHT - BOTTOM + 17}" class="tick" text-anchor="middle">{word}</text>')
        parts.append(f'<path d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}" class="axis"/>')
        parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" class="name" text-anchor="middle">{escape(across)}</text>')
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(f'<text transform="translate(13 {middle}) rotate(-90)" class="name" text-anchor="middle">{escape(up)}</text>')
        return "".join(parts)


def _svg(label: str, body: str, width: float = WIDTH, height: float = HEIGHT, most: float = WIDTH * 1.3) -> str:
    style = f"width:100%;max-width:{most:.0f}px"
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="{style}" role="img" aria-label="{escape(label)}">{body}</svg>'


def _margin(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.08 or abs(high) * 0.1 or 0.1
    return low - room, high + room


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """About five round numbers from ``low`` to ``high``."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    if whole:
        step = max(1.0, math.ceil(step))
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 10) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[tuple[float, str]]:
    """Some round numbers on a logarithmic scale, as (logarithm, word): the coarsest steps of which at least three fit."""
    found: list[float] = []
    for steps in ((1,), (1, 2, 5), tuple(range(1, 10))):
        every = [power + math.log10(step) for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
        found = [at for at in every if low <= at <= high]
        if len(found) >= 3:
            return [(at, _short(float(f"{10.0**at:.1g}"))) for at in found]
    return [(math.log10(tick), _short(tick)) for tick in _ticks(10.0**low, 10.0**high) if tick > 0]


def _short(number: float) -> str:
    """``12k`` for 12,000: as much as a small cell holds."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 10 * size or (abs(number) >= size and number % size == 0):
            return f"{number / size:.4g}{letter}" if number % size == 0 else f"{number / size:.0f}{letter}"
    return f"{number:.4g}"
