"""Pyright, mypy and ty, all as strict as they get and without a plugin, on what users write."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ACCEPTED, REFUSED = HERE / "accepted.py", HERE / "refused.py"

Findings = dict[Path, dict[int, list[str]]]


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900).stdout


def pyright(_folder: Path) -> Findings:
    output = run(
        sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable,
        str(ACCEPTED), str(REFUSED),
    )  # fmt: skip
    found: Findings = {}
    for each in json.loads(output)["generalDiagnostics"]:
        line = each["range"]["start"]["line"] + 1
        found.setdefault(Path(each["file"]), {}).setdefault(line, []).append(each["message"])
    return found


def mypy(folder: Path) -> Findings:
    output = run(
        sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={folder}",
        "--follow-imports=silent", "--no-error-summary", "--explicit-package-bases",
        str(ACCEPTED), str(REFUSED),
    )  # fmt: skip
    return by_line(output)


def ty(folder: Path) -> Findings:
    program = shutil.which("ty", path=str(Path(sys.executable).parent)) or "ty"
    python = str(Path(sys.prefix))
    files = (str(ACCEPTED), str(REFUSED))
    return by_line(run(program, "check", "--output-format", "concise", "--python", python, *files))


def by_line(output: str) -> Findings:
    found: Findings = {}
    for path, line, message in re.findall(r"^(\S+?\.py):(\d+):(?:\d+:)? (error.*)$", output, re.MULTILINE):
        found.setdefault((ROOT / path).resolve(), {}).setdefault(int(line), []).append(message)
    return found


@pytest.fixture(scope="module", params=[pyright, mypy, ty], ids=lambda checker: checker.__name__)
def checker(request: pytest.FixtureRequest) -> Callable[[Path], Findings]:
    name = request.param.__name__
    if importlib.util.find_spec(name) is None and shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return request.param


@pytest.fixture(scope="module")
def findings(checker: Callable[[Path], Findings], tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return checker(tmp_path_factory.mktemp(checker.__name__))


def test_checker_accepts_what_works(findings: Findings) -> None:
    assert findings.get(ACCEPTED, {}) == {}


def test_checker_refuses_what_cannot_work_and_nothing_else(
    checker: Callable[[Path], Findings], findings: Findings
) -> None:
    lines = dict(enumerate(REFUSED.read_text().splitlines(), 1))
    marks = {number: re.search(r"# E(?:: (.*))?$", line) for number, line in lines.items()}
    marked = {
        number for number, mark in marks.items() if mark and checker.__name__ in (mark[1] or checker.__name__)
    }
    found = findings.get(REFUSED, {})
    assert {lines[number] for number in marked - found.keys()} == set()
    assert {lines[number]: found[number] for number in found.keys() - marked} == {}
