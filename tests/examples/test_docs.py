"""Every Python block of the README and docs runs, a page's blocks in order, and prints what its comments say.

A page runs on a database of its own in memory. Blocks that await run in the page's event loop, the others outside
of any, so that they may call `asyncio.run`. `print(x)  # y` promises the output `y`. A comment `<!-- not run:
reason -->` on the line before leaves a block out.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from redisom_lite import Database

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(
    r"^(?P<skip><!-- not run: .+ -->\n)?```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
PROMISE = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start("code")), found["code"])
        for found in BLOCK.finditer(text)
        if not found["skip"]
    ]


def run(block: Block, names: dict[str, object], runner: asyncio.Runner) -> str:
    """Run a block, and return what it printed. Its lines have their numbers in the page."""
    source = "\n" * block.line + block.code
    code = compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        awaitable = eval(code, names)
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(awaitable)
    return printed.getvalue()


def promised(code: str) -> list[str]:
    return PROMISE.findall(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_blocks_run_and_print_what_they_promise(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDISOM_URL", f"memory://{uuid4().hex}")
    module = ModuleType(f"docs_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)
    with asyncio.Runner() as runner:
        for block in blocks(page):
            printed = run(block, names, runner)
            if wanted := promised(block.code):
                assert printed.splitlines() == wanted, f"{page}:{block.line}"
        for db in [value for value in names.values() if isinstance(value, Database)]:
            runner.run(db.aclose())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_index_lists_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert {page for page in PAGES if page.parent != ROOT and page != index} <= listed
