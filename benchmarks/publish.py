"""Put the figures of runs into the documentation: tables between marks in pages, and plots beside them.

python -m benchmarks.publish QUICK FULL                    README.md, docs/benchmarks.md, docs/benchmarks/*
python -m benchmarks.publish QUICK FULL TOGETHER APART     those of `--cores`, too
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmarks import plots, report
from benchmarks.contenders import BY_HAND, HERE
from benchmarks.figures import Results
from benchmarks.remote import ROOT

FOLDER = ROOT / "docs" / "benchmarks"
RUNS = ("quick", "full", "together", "apart")


def main() -> None:
    """`python -m benchmarks.publish quick.json [full.json [together.json apart.json]]`."""
    tables: dict[str, str] = {}
    runs = {name: _read(Path(path)) for name, path in zip(RUNS, sys.argv[1:], strict=False)}
    for name, results in runs.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(results.to_dict(BY_HAND), indent=1) + "\n")
    if len(runs) == len(RUNS):
        table = report.placements(runs["quick"], runs["together"], runs["apart"], (HERE, "socket"))
        tables["placements"] = report.markdown(table)
        tables["placements conditions"] = report.conditions(runs["apart"]) + "."
    for name in RUNS[:2]:
        if name not in runs:
            continue
        results = runs[name]
        plots.write(results, FOLDER, suffix="" if name == "quick" else f"-{name}")
        tables |= {
            f"{name} ratios": report.markdown(report.ratios(results), bold=HERE),
            f"{name} processor": report.markdown(report.processor(results), bold=HERE),
            f"{name} details": report.markdown(report.details(results)),
            f"{name} conditions": report.conditions(results) + ".",
            f"{name} losses": "\n".join(f"- {line}" for line in report.losses(results)),
            f"{name} notes": "\n".join(f"- {line}" for line in results.skipped),
            f"{name} scaling": "\n\n".join(
                f"{operation}:\n\n{report.markdown(table)}"
                for operation, table in report.scaling(results).items()
            ),
        }
    for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md"):
        page.write_text(filled(page.read_text(), tables))


def _read(path: Path) -> Results:
    return Results.from_dict(json.loads(path.read_text()))


def filled(page: str, tables: dict[str, str]) -> str:
    """The page with what stands between `<!-- figures: name -->` and `<!-- end -->` replaced."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        return (
            match.group(0)
            if name not in tables
            else f"<!-- figures: {name} -->\n{tables[name]}\n<!-- end -->"
        )

    return re.sub(r"<!-- figures: (.+?) -->\n.*?<!-- end -->", replace, page, flags=re.DOTALL)


if __name__ == "__main__":
    main()
