"""What the command prints: tables for people, one JSON document for programs, progress on the error stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Output:
    """Prints results, as text or as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows with the same columns."""
        if self._as_json:
            self.document(list(rows))
            return
        if not rows:
            return
        columns = list(rows[0])
        cells = [[_text(row[column]) for column in columns] for row in rows]
        widths = [max(len(column), *(len(row[n]) for row in cells)) for n, column in enumerate(columns)]
        for line in [columns, *cells]:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())

    def record(self, values: Mapping[str, Any]) -> None:
        """One thing, a line for each of its values."""
        if self._as_json:
            self.document(dict(values))
            return
        width = max(map(len, values))
        for name, value in values.items():
            print(f"{name.ljust(width)}  {_text(value)}")

    def text(self, text: str, document: Any) -> None:
        """Text for people, a document for programs."""
        if self._as_json:
            self.document(document)
        else:
            print(text)

    def document(self, value: Any) -> None:
        print(json.dumps(value, indent=2, default=str))

    def progress(self, what: str) -> Callable[[int, int | None], None]:
        """A callback that shows how far something is, where someone looks."""

        def show(done: int, total: int | None) -> None:
            if sys.stderr.isatty():
                of = f"/{total:,}" if total else ""
                end = "\n" if total == done else ""
                print(f"\r{what} {done:,}{of}", end=end, file=sys.stderr, flush=True)

        return show


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"  # pyright: ignore[reportUnknownArgumentType]
    return "-" if value is None else str(value)
