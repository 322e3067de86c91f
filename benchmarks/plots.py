"""Plots of a run, as SVG for the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.contenders import BY_HAND, HERE
from benchmarks.figures import Results

COLOURS = {
    HERE: "#c6302b",
    BY_HAND: "#555555",
    "Lua": "#3d6fb4",
    "socket": "#9a9a9a",
    "redis-om": "#e0902f",
    "walrus": "#5d9e56",
    "rom": "#8a5fb0",
    "beanis": "#4fb0b8",
}
_STYLE = {
    "svg.hashsalt": "redisom_lite",  # the same figures give the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def write(results: Results, folder: Path, *, suffix: str = "") -> list[Path]:
    """Draw what the run holds; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        written = [
            _ratios(results, folder / f"by-hand{suffix}.svg", (HERE, "Lua", "socket")),
            _ratios(results, folder / f"peers{suffix}.svg", (HERE, "redis-om", "walrus", "rom", "beanis")),
        ]
        if results.scaling:
            written.append(_scaling(results, folder / f"scaling{suffix}.svg"))
    return written


def _ratios(results: Results, path: Path, names: tuple[str, ...]) -> Path:
    """A row for each operation, a dot for each contender, hand-written redis-py at 1."""
    shown = [
        (operation, figures)
        for operation, figures in results.operations.items()
        if BY_HAND in figures and sum(name in figures for name in names) > 1
    ]
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.26 * len(shown)), layout="constrained")
    axes.set_xscale("log")
    axes.axvline(1, color=COLOURS[BY_HAND], linewidth=1.2)
    rows = range(len(shown) - 1, -1, -1)
    for name in reversed(names):
        points = [
            (figures[name].best_us / figures[BY_HAND].best_us, row)
            for row, (_, figures) in zip(rows, shown, strict=True)
            if name in figures
        ]
        if points:
            size = 46 if name == HERE else 26
            axes.scatter(*zip(*points, strict=True), s=size, color=COLOURS[name], label=name, zorder=3)
    axes.set_yticks(list(rows), [operation for operation, _ in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(f"time, {BY_HAND} written by hand = 1; less is faster")
    _legend(figure, axes)
    return _saved(figure, path)


def _scaling(results: Results, path: Path) -> Path:
    """A panel for each operation, a line for each contender: processor time, which a busy machine hardly disturbs."""
    count = len(results.scaling)
    columns = min(3, count)
    lines = -(-count // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(8, 0.7 + 2.4 * lines), layout="constrained", squeeze=False
    )
    panels: list[Any] = list(grid.flat)
    for axes, (operation, by_contender) in zip(panels, results.scaling.items(), strict=False):
        for name, points in by_contender.items():
            sizes = sorted(points)
            wide = 2.2 if name == HERE else 1.2
            axes.plot(
                sizes,
                [points[size][1] for size in sizes],
                color=COLOURS[name],
                linewidth=wide,
                marker=".",
                label=name,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(operation, fontsize=9)
    for axes in panels[count:]:
        axes.set_axis_off()
    figure.supxlabel("rows", fontsize=9)
    figure.supylabel("processor time of client and server, us", fontsize=9)
    _legend(figure, panels[0])
    return _saved(figure, path)


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = [labels.index(name) for name in COLOURS if name in labels]
    figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside upper center", ncols=len(order)
    )


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = path.read_text()
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")
    return path
