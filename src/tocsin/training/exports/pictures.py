"""Three pictures of features: how they go together, how they are spread, how they move in time. Extra `report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tocsin.component import optional_packages
from tocsin.evaluation.plots import BLUE, DOTS_PER_INCH, GREY, INK, ORANGE, shortened
from tocsin.records import Matrix, Times, Vector
from tocsin.training.exports.material import Material, Rows

with optional_packages("training.exports.pictures"):
    from matplotlib.axes import Axes
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure as Canvas

CORRELATED, SPREAD, MOVING = 20, 12, 4
"""Features in each picture: those that weighed most."""
SPAN = (1, 99)
"""Percentiles of the training rows between which a distribution is drawn."""
ALIKE = 0.9
"""Correlation beyond which one picture of two features tells as much as two."""
BINS, STEPS = 50, 240
FEWEST_NUMBERED = 12
"""Correlated features above which the numbers no longer fit into the cells."""


def correlations(material: Material, learnt: Rows, path: Path) -> None:
    """Pearson correlation of prepared features over the rows that the model was fitted with, like beside like."""
    chosen = _foremost(material, learnt.prepared, CORRELATED, apart=False)
    table = np.atleast_2d(np.corrcoef(learnt.prepared[:, chosen], rowvar=False))
    order = _alike(table)
    table, names = table[np.ix_(order, order)], [shortened(material.names[chosen[place]]) for place in order]
    side = 3.6 + 0.22 * len(chosen)
    canvas = _canvas(material, "How features correlate", (side + 1, side))
    axes = canvas.add_subplot()
    image = axes.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    if len(names) <= FEWEST_NUMBERED:
        for (row, column), value in np.ndenumerate(table):
            colour = "white" if abs(value) > 0.6 else INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    bar = canvas.colorbar(image, ax=axes, shrink=0.7, label="correlation, rows learnt from")
    bar.outline.set_visible(False)
    canvas.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def distributions(material: Material, learnt: Rows, unseen: Rows, path: Path) -> None:
    """How prepared features are spread over the rows that the model was fitted with, and over those it never saw."""
    chosen = _foremost(material, learnt.prepared, SPREAD, apart=True)
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    canvas = _canvas(material, "Features as the detector gets them", (3.0 * columns + 1, 2.2 * rows + 1.2))
    grid = canvas.subplots(rows, columns, squeeze=False).ravel()
    for axes, place in zip(grid, chosen, strict=False):
        _style(axes)
        low, high = np.percentile(learnt.prepared[:, place], SPAN)
        edges = np.linspace(low, high, BINS + 1) if high > low else np.linspace(low - 0.5, low + 0.5, BINS + 1)
        axes.stairs(
            _shares(learnt.prepared[:, place], edges), edges, fill=True, color=BLUE, alpha=0.35, label="learnt from"
        )
        axes.stairs(_shares(unseen.prepared[:, place], edges), edges, color=ORANGE, linewidth=1.3, label="never seen")
        axes.set_title(shortened(material.names[place]), fontsize=9, loc="left", color=INK)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    canvas.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def temporal_patterns(material: Material, learnt: Rows, unseen: Rows, path: Path) -> None:
    """The features that weighed most over time, and below them what was labelled and what was flagged."""
    if learnt.times is None or unseen.times is None:
        return
    everything = Rows.together(learnt, unseen)
    times = np.concatenate([learnt.times, unseen.times])
    chosen = _foremost(material, learnt.prepared, MOVING, apart=True)
    edges = np.linspace(times.min(), max(times.max(), times.min() + 1), STEPS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).astype(np.int64).astype("datetime64[us]")
    canvas = _canvas(material, "Features over time", (10.0, 2.0 * (len(chosen) + 1) + 0.8))
    panels = canvas.subplots(len(chosen) + 1, 1, sharex=True, squeeze=False).ravel()
    for axes, place in zip(panels, chosen, strict=False):
        _style(axes)
        low, median, high = _bands(times, everything.values[:, place], edges)
        axes.fill_between(middles, low, high, color=BLUE, alpha=0.25, linewidth=0, label="middle 80 % of the rows")
        axes.plot(middles, median, color=BLUE, linewidth=1.1, label="median")
        axes.set_title(shortened(material.names[place]), fontsize=9, loc="left", color=INK)
    _marks(panels[-1], material, everything, unseen.times, (times, edges, middles))
    if unseen.times.min() >= learnt.times.max():
        for axes in panels:
            axes.axvspan(*unseen.times[[0, -1]].astype("datetime64[us]"), color=GREY, alpha=0.15, linewidth=0)
        panels[0].set_title("grey: rows the model never saw", fontsize=9, loc="right", color=GREY)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib has no types here
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # nor here
    handles, labels = panels[0].get_legend_handles_labels()
    more, said = panels[-1].get_legend_handles_labels()
    canvas.legend([*handles, *more], [*labels, *said], loc="outside lower center", ncols=4, frameon=False)
    canvas.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def _marks(
    axes: Axes, material: Material, everything: Rows, tried: Times, scale: tuple[Times, Vector, NDArray[np.datetime64]]
) -> None:
    """Shares of rows that were labelled as anomalies, and of those judged that were flagged, per step of time."""
    times, edges, middles = scale
    _style(axes)
    known = everything.labels >= 0
    for label, moments, marked, colour, style in (
        ("labelled as anomalies", times[known], everything.labels[known] == 1, ORANGE, "-"),
        ("flagged", tried, material.evidence.scores.flagged, INK, ":"),
    ):
        if len(moments):
            rows, hits = np.histogram(moments, edges)[0], np.histogram(moments[marked], edges)[0]
            share = np.where(rows > 0, hits / np.maximum(rows, 1), np.nan)
            axes.plot(middles, share, color=colour, linestyle=style, linewidth=1.3, label=label)
    axes.set_ylim(-0.02, None)
    axes.set_title("share of rows", fontsize=9, loc="left", color=INK)


def _bands(times: Times, values: Vector, edges: Vector) -> Matrix:
    """The 10th, 50th and 90th percentile of the values there are, per step of time; NaN where there are none."""
    step = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)
    there = ~np.isnan(values)
    order = np.argsort(step[there], kind="stable")
    pieces = np.split(values[there][order], np.searchsorted(step[there][order], np.arange(1, len(edges) - 1)))
    return np.array([np.percentile(piece, (10, 50, 90)) if len(piece) else (np.nan,) * 3 for piece in pieces]).T


def _foremost(material: Material, prepared: Matrix, most: int, *, apart: bool) -> list[int]:
    """The features that weighed most and vary, then the others; with `apart`, none that goes with one before it."""
    places = {name: place for place, name in enumerate(material.names)}
    weighed = [places[item.feature] for item in material.report.importance if item.contribution > 0]
    moving = prepared.max(axis=0) > prepared.min(axis=0)
    chosen: list[int] = []
    for place in dict.fromkeys((*weighed, *places.values())):
        if len(chosen) == most:
            break
        if moving[place] and not (apart and _goes_with(prepared, place, chosen)):
            chosen.append(place)
    return chosen


def _goes_with(prepared: Matrix, place: int, others: Sequence[int]) -> bool:
    table = np.atleast_2d(np.corrcoef(prepared[:, [place, *others]], rowvar=False))
    return bool(np.abs(table[0, 1:]).max(initial=0.0) > ALIKE)


def _alike(table: Matrix) -> list[int]:
    """Columns in an order in which each is followed by the one most like it."""
    strength = np.abs(np.nan_to_num(table))
    left = set(range(len(table)))
    order = [int(strength.sum(axis=1).argmax())]
    left.discard(order[0])
    while left:
        order.append(max(left, key=lambda place: (strength[order[-1], place], -place)))
        left.discard(order[-1])
    return order


def _shares(values: Vector, edges: Vector) -> Vector:
    """Shares of the rows; what lies outside is in the outermost bins."""
    inside = np.clip(values, edges[0], edges[-1])
    return np.asarray(np.histogram(inside, edges)[0] / max(len(values), 1))


def _canvas(material: Material, title: str, inches: Sequence[float]) -> Canvas:
    canvas = Canvas(figsize=(inches[0], inches[1]), layout="constrained", facecolor="white")
    canvas.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    if material.generated:
        canvas.text(0.99, 0.985, "generated data", ha="right", va="top", fontsize=9, color=ORANGE)
    return canvas


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e3e5e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8)
