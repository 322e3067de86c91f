"""The questions: each a query, how to ask it, and the same in SQL.

A query is a value. Building one sends nothing, so they can stand here, at import, without a database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from examples.flights.model import Flight
from redisom_lite.query import Query

Answer = list[Flight] | dict[str, int] | int

JULY_4 = datetime(2013, 7, 4, 4, tzinfo=UTC)  # midnight in New York
JULY_5 = datetime(2013, 7, 5, 4, tzinfo=UTC)


async def records(query: Query[Flight]) -> Answer:
    """Every record, in order."""
    return await query


async def pages(query: Query[Flight]) -> Answer:
    """Every record too, a page at a time: each cursor leads to the next page."""
    page = await query.page(size=20)
    found = page.items
    while page.next:
        page = await query.page(size=20, after=page.next)
        found += page.items
    return found


async def count(query: Query[Flight]) -> Answer:
    """How many; no record is read."""
    return await query.count()


async def carriers(query: Query[Flight]) -> Answer:
    """How many of each carrier; no record is read."""
    return await query.facets(Flight.carrier)


async def miles(query: Query[Flight]) -> Answer:
    """The sum of the distances; no record is read."""
    return await query.sum(Flight.distance)


@dataclass(frozen=True)
class Question:
    """What is asked, of Redis and of SQLite."""

    title: str
    query: Query[Flight]
    sql: str
    ask: Callable[[Query[Flight]], Awaitable[Answer]] = records


QUESTIONS = [
    Question(
        "two tags: United to San Francisco",
        Flight.objects.find(Flight.carrier == "UA", Flight.dest == "SFO"),
        "SELECT * FROM flights WHERE carrier = 'UA' AND dest = 'SFO' ORDER BY id",
    ),
    Question(
        "range: two to three hours late",
        Flight.objects.find(Flight.dep_delay.between(120, 180)),
        "SELECT * FROM flights WHERE dep_delay BETWEEN 120 AND 180 ORDER BY id",
    ),
    Question(
        "time window: the fourth of July",
        Flight.objects.find(Flight.scheduled.between(JULY_4, JULY_5, bounds="[)")).order_by(Flight.scheduled),
        "SELECT * FROM flights WHERE scheduled >= '2013-07-04T04:00:00Z' AND scheduled < '2013-07-05T04:00:00Z' "
        "ORDER BY scheduled, id",
    ),
    Question(
        "OR: to Seattle, with Alaska, or far and late",
        Flight.objects.find(
            (Flight.dest == "SEA")
            | (Flight.carrier == "AS")
            | ((Flight.distance > 2500) & (Flight.dep_delay > 60)),
        ),
        "SELECT * FROM flights WHERE dest = 'SEA' OR carrier = 'AS' OR (distance > 2500 AND dep_delay > 60) "
        "ORDER BY id",
    ),
    Question(
        "NOT: two hours late, not from Newark",
        Flight.objects.find(~(Flight.origin == "EWR"), Flight.dep_delay > 120),
        "SELECT * FROM flights WHERE NOT origin = 'EWR' AND dep_delay > 120 ORDER BY id",
    ),
    Question(
        "None: cancelled to Boston",
        Flight.objects.find(Flight.dep_delay.is_none(), Flight.dest == "BOS"),
        "SELECT * FROM flights WHERE dep_delay IS NULL AND dest = 'BOS' ORDER BY id",
    ),
    Question(
        "NOT and None: to Honolulu, not late",
        Flight.objects.find(~(Flight.dep_delay > 0), Flight.dest == "HNL"),
        "SELECT * FROM flights WHERE (dep_delay <= 0 OR dep_delay IS NULL) AND dest = 'HNL' ORDER BY id",
    ),
    Question(
        "ordered page, composite: JetBlue after the fourth",
        Flight.objects.find(Flight.carrier == "B6", Flight.scheduled >= JULY_5)
        .order_by(Flight.scheduled)
        .limit(20),
        "SELECT * FROM flights WHERE carrier = 'B6' AND scheduled >= '2013-07-05T04:00:00Z' "
        "ORDER BY scheduled, id LIMIT 20",
    ),
    Question(
        "two keys of order: the longest delays",
        Flight.objects.find().order_by(Flight.dep_delay.desc(), Flight.distance.desc()).limit(20),
        "SELECT * FROM flights ORDER BY dep_delay DESC NULLS LAST, distance DESC, id DESC LIMIT 20",
    ),
    Question(
        "text prefix: aircraft N3A...",
        Flight.objects.find(Flight.tailnum.startswith("N3A")).order_by(Flight.tailnum),
        "SELECT * FROM flights WHERE tailnum GLOB 'N3A*' ORDER BY tailnum, id",
    ),
    Question(
        "cursor: over an hour late, page by page",
        Flight.objects.find(Flight.dep_delay > 60).order_by(Flight.dep_delay.desc()),
        "SELECT * FROM flights WHERE dep_delay > 60 ORDER BY dep_delay DESC, id DESC",
        pages,
    ),
    Question(
        "count, composite: JetBlue after the fourth",
        Flight.objects.find(Flight.carrier == "B6", Flight.scheduled >= JULY_5),
        "SELECT count(*) AS flights FROM flights WHERE carrier = 'B6' AND scheduled >= '2013-07-05T04:00:00Z'",
        count,
    ),
    Question(
        "facets: two hours late, by carrier",
        Flight.objects.find(Flight.dep_delay > 120),
        "SELECT carrier, count(*) AS flights FROM flights WHERE dep_delay > 120 GROUP BY carrier ORDER BY carrier",
        carriers,
    ),
    Question(
        "sum: miles flown to Los Angeles",
        Flight.objects.find(Flight.dest == "LAX", ~Flight.dep_delay.is_none()),
        "SELECT coalesce(sum(distance), 0) AS miles FROM flights WHERE dest = 'LAX' AND dep_delay IS NOT NULL",
        miles,
    ),
]
