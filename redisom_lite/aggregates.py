"""Sums, extremes and facets of what a query selects, without loading objects.

The server counts how often each score (or tag) occurs and the sum is made here, exactly: integers of any size, Decimals
to the last digit, floats correctly rounded. With a limit or an offset just those records' values are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, DecimalException, Inexact
from fractions import Fraction
from itertools import chain, repeat
from math import fsum, inf, isinf
from typing import Any, Final

from redisom_lite import keys
from redisom_lite.codec import NONE_TOKEN
from redisom_lite.codec.choices import ChoiceCodec
from redisom_lite.engine.picking import pick
from redisom_lite.engine.reading import Reading
from redisom_lite.errors import QueryError, UnindexedFieldError
from redisom_lite.plan.expression import Condition, NumberRange, Term, TextPrefix
from redisom_lite.plan.ordering import number_of, stands_for, text_key
from redisom_lite.plan.planner import Selection
from redisom_lite.plan.prepared import prepare
from redisom_lite.schema.model_schema import FieldSpec, Kind
from redisom_lite.site import Site

_MICROSECOND: Final = timedelta(microseconds=1)
_SUMMED: Final = ("int", "bool", "timedelta", "float", "Decimal")
_WIDE: Final = Context(prec=200_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


async def sum_of(site: Site[Any], selection: Selection, spec: FieldSpec) -> Any:
    """The exact sum of a column; zero of its type when there is nothing to add. `None` counts for nothing."""
    _require_range(spec, "sum")
    if spec.kind is not Kind.NUMBER or (
        spec.codec.form not in _SUMMED and not isinstance(spec.codec, ChoiceCodec)
    ):
        raise QueryError(
            f"{spec!r} is of type {spec.codec.name}, which has no sum: sum int, float, Decimal or timedelta"
        )
    if _limited(selection):
        counted = Counter(value for value in await _values(site, selection, spec) if value is not None)
        return _sum(spec, {_plain(value): n for value, n in counted.items()})
    reading = _reading(site, selection._replace(order=()))
    tally = await site.store.backend.reader.tally(reading, [spec])
    await site.store.backend.tidy()
    return _sum(spec, _numbers(spec, tally))


def _numbers(spec: FieldSpec, tally: Mapping[tuple[bytes | None, ...], int]) -> dict[Any, int]:
    numbers: dict[Any, int] = {}
    for (score,), count in tally.items():
        if score is not None:
            number = _number(spec, score)
            numbers[number] = numbers.get(number, 0) + count
    return numbers


def _number(spec: FieldSpec, score: bytes) -> Any:
    """What a score, with `=exact` behind it where it is inexact, stands for."""
    double, _, exact = score.partition(b"=")
    if spec.codec.form == "float":
        return float(double)
    number = number_of(exact) if exact else stands_for(spec, float(double))
    return number if spec.codec.form == "Decimal" else int(number)


def _plain(value: Any) -> Any:
    return value // _MICROSECOND if isinstance(value, timedelta) else value


def _sum(spec: FieldSpec, numbers: Mapping[Any, int]) -> Any:
    match spec.codec.form:
        case "float":
            return _float_sum(numbers)
        case "Decimal":
            return _decimal_sum(spec, numbers)
        case "timedelta":
            try:
                return timedelta(microseconds=1) * sum(number * n for number, n in numbers.items())
            except OverflowError:
                raise QueryError(
                    f"{spec!r}: the sum is longer than a timedelta can be: narrow the query"
                ) from None
        case _:
            return sum(int(number) * n for number, n in numbers.items())


def _float_sum(numbers: Mapping[float, int]) -> float:
    infinite = [number for number in numbers if isinf(number)]
    if infinite:
        return sum(infinite)
    try:
        return fsum(chain.from_iterable(repeat(number, n) for number, n in numbers.items()))
    except OverflowError:
        exact = sum(Fraction(number) * n for number, n in numbers.items())
        try:
            return float(exact)
        except OverflowError:
            return inf if exact > 0 else -inf


def _decimal_sum(spec: FieldSpec, numbers: Mapping[Decimal, int]) -> Decimal:
    total = Decimal(0)
    try:
        for number, n in numbers.items():
            total = _WIDE.add(total, _WIDE.multiply(number, Decimal(n)))
    except (DecimalException, MemoryError):
        raise QueryError(
            f"{spec!r}: the exact sum has more than {_WIDE.prec:,} digits: narrow the query"
        ) from None
    return total


async def extreme_of(site: Site[Any], selection: Selection, spec: FieldSpec, *, greatest: bool) -> Any:
    """The least or greatest value of a column that is not `None`, or `None` when there is none."""
    _require_range(spec, "max" if greatest else "min")
    if _limited(selection):
        found = [row for row in await _rows(site, selection, spec) if row[spec.position] is not None]
        choose = max if greatest else min
        best = [choose(found, key=lambda row: _place(spec, row))] if found else []
        return next((values[spec.name] for values in pick(site.model, site.keyspace, [spec], best)), None)
    valued = () if spec.kind is Kind.KEY else (_valued(spec),)
    ordered = selection._replace(where=(*selection.where, *valued), order=(Term(spec, greatest),), limit=1)
    values = await _values(site, ordered, spec)
    return values[0] if values else None


def _place(spec: FieldSpec, row: list[bytes | None]) -> Any:
    text = row[spec.position]
    assert text is not None
    return spec.codec.member(spec.codec.decode(text)) if spec.kind is Kind.KEY else text_key(spec, text)


def _valued(spec: FieldSpec) -> Condition:
    return TextPrefix(spec, b"") if spec.kind is Kind.TEXT else NumberRange(spec, None, None)


async def facets_of(site: Site[Any], selection: Selection, spec: FieldSpec) -> dict[Any, int]:
    """How many records have each value of a tag, most frequent first; those without any under `None`."""
    if spec.kind is not Kind.TAG:
        raise _unfit(spec, "facets", "Tag[...]")
    reader = site.store.backend.reader
    if _limited(selection):
        counted = await _facets_of_rows(site, selection, spec)
        return dict(counted.most_common())
    if not selection.where:
        listed = await reader.facets(site.keyspace, spec)
        if listed is not None:
            return _listed(spec, listed)
    sections = await reader.tally(_reading(site, selection._replace(order=())), [spec])
    await site.store.backend.tidy()
    tokens: Counter[bytes] = Counter()
    for (section,), count in sections.items():
        for token in _tokens(section or b""):
            tokens[token] += count
    values = await _values_of_tokens(site, spec, tokens)
    return {values[token]: count for token, count in tokens.most_common() if token in values}


def _listed(spec: FieldSpec, listed: Mapping[bytes, tuple[bytes, int]]) -> dict[Any, int]:
    codec = spec.member or spec.codec
    there = [(token, text, count) for token, (text, count) in listed.items() if count]
    there.sort(key=lambda each: -each[2])
    return {None if token == NONE_TOKEN else codec.decode(text): count for token, text, count in there}


async def _facets_of_rows(site: Site[Any], selection: Selection, spec: FieldSpec) -> Counter[Any]:
    counted: Counter[Any] = Counter()
    for value in await _values(site, selection, spec):
        counted.update(set(value) if spec.multiple and value is not None else (value,))
    return counted


def _tokens(section: bytes) -> Iterable[bytes]:
    """The tokens of a section of `_ix`: (length : token)..."""
    while section:
        size, _, section = section.partition(b":")
        yield section[: int(size)]
        section = section[int(size) :]


async def _values_of_tokens(site: Site[Any], spec: FieldSpec, tokens: Iterable[bytes]) -> dict[bytes, Any]:
    """What tokens stand for. Those of long texts are digests, and their texts are in `:v:`."""
    codec = spec.member or spec.codec
    texts = {token: keys.decode(token) for token in tokens if token[:1] != b"%" or token[1:2].isalnum()}
    digests = [token for token in tokens if token[:2] == b"%~"]
    if digests:
        name = b":v:" + spec.name.encode()
        for reply in await site.commands([(b"HMGET", base + name, *digests) for base in site.keyspace.bases]):
            texts.update(
                (token, text) for token, text in zip(digests, reply, strict=True) if text is not None
            )
    values: dict[bytes, Any] = {token: codec.decode(text) for token, text in texts.items()}
    values[NONE_TOKEN] = None
    return values


def _require_range(spec: FieldSpec, what: str) -> None:
    if spec.kind not in (Kind.NUMBER, Kind.TEXT, Kind.KEY):
        raise _unfit(spec, what, "Range[...]")


def _unfit(spec: FieldSpec, what: str, declared: str) -> QueryError:
    if spec.kind is Kind.STORED:
        return UnindexedFieldError(
            f"{spec!r} has no index and does not support {what}(): declare it {declared}"
        )
    return QueryError(f"{spec!r} is no {declared} and does not support {what}(): declare it so")


def _limited(selection: Selection) -> bool:
    return selection.limit is not None or selection.offset > 0


def _reading(site: Site[Any], selection: Selection, *specs: FieldSpec) -> Reading:
    names = site.keyspace.names_of([*specs, *(term.field for term in selection.order)]) if specs else None
    return Reading(site.keyspace, prepare(selection), names)


async def _rows(site: Site[Any], selection: Selection, spec: FieldSpec) -> list[list[bytes | None]]:
    found = await site.store.backend.reader.rows(_reading(site, selection, spec))
    await site.store.backend.tidy()
    return [row for _, row in found]


async def _values(site: Site[Any], selection: Selection, spec: FieldSpec) -> list[Any]:
    rows = await _rows(site, selection, spec)
    return [values[spec.name] for values in pick(site.model, site.keyspace, [spec], rows)]
