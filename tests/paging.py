"""Walking a query page by page, to the end."""

from __future__ import annotations

from typing import Any


async def paged(query: Any, size: int) -> list[list[Any]]:
    """The objects of a query, page by page, as the cursors lead."""
    found: list[list[Any]] = []
    after = None
    while True:
        page = await query.page(size=size, after=after)
        found.append(page.items)
        after = page.next
        if after is None:
            return found
