"""Tables of a run, for a terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.contenders import BY_HAND, HERE
from benchmarks.figures import Figure, Results, contenders_in

Table = list[list[str]]
_PLACED = {"together": "on one core", "apart": "on one core each"}


def ratios(results: Results) -> Table:
    """Time beside hand-written redis-py: its microseconds, and everyone's ratio."""
    names = [name for name in contenders_in(results) if name != BY_HAND]
    rows = [["operation", f"{BY_HAND}, us", *names]]
    for operation, figures in results.operations.items():
        if base := figures.get(BY_HAND):
            cells = [_ratio(figures, name, lambda figure: figure.best_us) for name in names]
            rows.append([operation, _number(base.best_us), *cells])
    for title, values in (("bytes per record", results.bytes_per_record), ("import, ms", results.import_ms)):
        if BY_HAND in values:
            cells = [f"{values[name] / values[BY_HAND]:.2f}" if name in values else "" for name in names]
            rows.append([title, _number(values[BY_HAND]), *cells])
    return rows


def processor(results: Results) -> Table:
    """Processor time of client and server together beside hand-written redis-py."""
    names = [name for name in contenders_in(results) if name != BY_HAND]
    rows = [["operation", f"{BY_HAND}, us", *names]]
    for operation, figures in results.operations.items():
        if base := figures.get(BY_HAND):
            cells = [_ratio(figures, name, lambda figure: figure.cpu_us) for name in names]
            rows.append([operation, _number(base.cpu_us), *cells])
    return rows


def details(results: Results, pair: Sequence[str] = (HERE, BY_HAND)) -> Table:
    """Everything about two contenders, one after the other in each cell."""
    rows = [
        [
            "operation",
            "best us",
            "p50 us",
            "p99 us",
            "client CPU us",
            "server CPU us",
            "round trips",
            "commands",
        ]
    ]
    columns: list[Callable[[Figure], str]] = [
        lambda figure: _number(figure.best_us),
        lambda figure: _number(figure.p50_us),
        lambda figure: _number(figure.p99_us),
        lambda figure: _number(figure.client_cpu_us),
        lambda figure: _number(figure.server_cpu_us),
        lambda figure: "" if figure.round_trips is None else str(figure.round_trips),
        lambda figure: "" if figure.commands is None else str(figure.commands),
    ]
    for operation, figures in results.operations.items():
        if found := [figures[name] for name in pair if name in figures]:
            rows.append([operation, *(" / ".join(map(column, found)).strip(" /") for column in columns)])
    return rows


def placements(free: Results, together: Results, apart: Results, names: Sequence[str]) -> Table:
    """Ratios to hand-written redis-py where the system places server and callers, on one core, and on one each."""
    runs = (free, together, apart)
    rows = [["operation", *(f"{name}, {run}" for name in names for run in ("free", "one core", "two cores"))]]
    for operation in free.operations:
        if all(BY_HAND in run.operations.get(operation, {}) for run in runs):
            cells = [
                _ratio(run.operations[operation], name, lambda figure: figure.p50_us)
                for name in names
                for run in runs
            ]
            rows.append([operation, *cells])
    return rows


def scaling(results: Results, names: Sequence[str] | None = None) -> dict[str, Table]:
    """By operation: a row for each contender, time and processor time for each number of rows."""
    tables: dict[str, Table] = {}
    for operation, by_contender in results.scaling.items():
        sizes = sorted({size for figures in by_contender.values() for size in figures})
        table = [["rows", *(f"{size:,}" for size in sizes)]]
        for who, figures in by_contender.items():
            if names is None or who in names:
                cells = [" / ".join(map(_number, figures[size])) if size in figures else "" for size in sizes]
                table.append([who, *cells])
        tables[operation] = table
    return tables


def text(results: Results) -> str:
    """All tables, for a terminal."""
    parts = [
        f"Time (median of the best block), ratios to {BY_HAND}: below 1 faster than by hand, ! above what is aimed at",
        columns(_marked(ratios(results), results)),
        f"Processor time of client and server together, ratios to {BY_HAND}",
        columns(processor(results)),
        f"{HERE} / {BY_HAND}",
        columns(details(results)),
        f"Where {HERE} is slower, and how many times as slow",
        "\n".join(losses(results)),
    ]
    for operation, table in scaling(results).items():
        parts += [f"{operation}: us of time / processor as the number of rows grows", columns(table)]
    return "\n\n".join([*parts, conditions(results), *results.skipped])


def losses(results: Results) -> list[str]:
    """Where the library is slower: than by hand, than each of the others."""
    names = [BY_HAND, *(name for name in contenders_in(results) if name not in (HERE, BY_HAND))]
    lines: list[str] = []
    for name in names:
        both = {
            operation: figures[HERE].best_us / figures[name].best_us
            for operation, figures in results.operations.items()
            if HERE in figures and name in figures
        }
        slower = sorted((ratio, operation) for operation, ratio in both.items() if ratio > 1)
        if both:
            listed = ", ".join(f"{operation} ({ratio:.2f})" for ratio, operation in reversed(slower))
            lines.append(
                f"than {name}: {len(slower)} of {len(both)} operations{': ' if slower else ''}{listed}"
            )
    return lines


def conditions(results: Results) -> str:
    """What was measured, where."""
    about = results.about
    servers = ", ".join(f"{one['name']} {one['version']}" for one in about.get("servers", {}).values())
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    machine = about["machine"]
    placed = about.get("cores", "free")
    where = "" if placed == "free" else f", server and callers {_PLACED[placed]}"
    loads = f"load {about['load before'][0]:.1f} before, {about.get('load after', [0])[0]:.1f} after"
    return (
        f"{about['rows']:,} rows; {machine['cpu']}, {machine['cores']} cores{where}, {loads}; {servers}; "
        f"Python {about['python']} ({about['loop']}), {versions}; {about['date']}"
    )


def columns(table: Table) -> str:
    """A table in columns."""
    widths = [max(len(row[i]) for row in table if i < len(row)) for i in range(len(table[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown(table: Table, bold: str | None = None) -> str:
    """A table in Markdown, one column in bold."""
    head, *rows = table
    strong = head.index(bold) if bold else -1
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [f"**{cell}**" if i == strong and cell else cell for i, cell in enumerate(row)]
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines)


def _marked(table: Table, results: Results) -> Table:
    head, *rows = table
    if HERE not in head:
        return table
    at = head.index(HERE)
    goals = results.goals | {"bytes per record": 1.20, "import, ms": 1.20}
    marked = [head]
    for row in rows:
        over = row[at] and row[0] in goals and float(row[at]) > goals[row[0]]
        marked.append([*row[:at], row[at] + ("!" if over else " "), *row[at + 1 :]])
    return marked


def _ratio(figures: dict[str, Figure], name: str, value: Callable[[Figure], float]) -> str:
    if name not in figures:
        return ""
    ratio = value(figures[name]) / value(figures[BY_HAND])
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
