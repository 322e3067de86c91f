"""Checking: the proof, on live data, that every index says what the records say; and sweeping, to the end.

    missing   a record's value that its index does not have
    dangling  an entry about, or a part of, a record that is not there (evicted, or deleted by another program)
    stale     an entry, a deadline or a memo that contradicts the record, or a record that does not decode
    orphaned  a record no index knows (written by another program), or a key of an index that is not declared

Overdue records that no sweep has passed yet are no findings: they are invisible already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from redisom_lite import keys
from redisom_lite.codec import Codec
from redisom_lite.engine import inspection
from redisom_lite.engine.declare import declare
from redisom_lite.engine.inspection import PAGE, IndexKey, Seen
from redisom_lite.errors import DecodeError
from redisom_lite.mending import mend
from redisom_lite.schema import mutations
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import Kind
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

M = TypeVar("M", bound=Record)

Progress: TypeAlias = Callable[[int, int | None], object]

_EXAMPLES: Final = 20
_SHARE: Final = 0.4  # so many records fewer than are written are looked at in one step
_CLOCKS_APART: Final = 1000  # ms; what another program set with EXPIRE is in whole seconds


@dataclass(frozen=True, slots=True)
class Example:
    """One finding: what kind, in which index, about which record (its primary key)."""

    kind: str
    index: str
    pk: Any


@dataclass(slots=True)
class IndexReport:
    """What a check found: numbers of records `checked` and of findings by kind, and up to 20 examples."""

    checked: int = 0
    missing: int = 0
    dangling: int = 0
    stale: int = 0
    orphaned: int = 0
    repaired: bool = False
    examples: list[Example] = field(default_factory=list[Example])

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not (self.missing or self.dangling or self.stale or self.orphaned)

    def note(self, kind: str, index: str, pk: Any) -> None:
        """Count a finding."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(Example(kind, index, pk))


async def sweep(site: Site[Any]) -> int:
    """Clean up every overdue record; how many."""
    swept = 0
    for partition in range(len(site.keyspace.bases)):
        while cleaned := await site.store.backend.writer.sweep(site.keyspace, partition, site.schema.step):
            swept += cleaned
    return swept


async def check(site: Site[M], *, repair: bool, progress: Progress | None) -> IndexReport:
    """See `Manager.check`."""
    report = IndexReport(repaired=repair)
    for partition in range(len(site.keyspace.bases)):
        # an index of another declaration is taken away below: whoever needs it has to learn that it is no longer whole
        if repair:
            await declare(site.store.transport, site.keyspace, partition, writer=True)
        await _check_partition(site, partition, report, repair=repair, progress=progress)
    return report


async def _check_partition(
    site: Site[M], partition: int, report: IndexReport, *, repair: bool, progress: Progress | None
) -> None:
    keyspace, transport = site.keyspace, site.store.transport
    async for suffixes in inspection.scan(transport, keyspace, partition):
        parts, records = list[bytes](), list[bytes]()
        for suffix in suffixes:
            if inspection.is_own(suffix):
                continue
            key = inspection.index_key(keyspace, suffix)
            if key is not None:
                await _check_entries(site, partition, key, report, repair=repair)
                continue
            known = inspection.is_record(suffix) or inspection.is_part(suffix)
            member = inspection.member_of_record(keyspace, suffix) if known else None
            if member is None:
                await _undeclared(site, partition, suffix, report, repair=repair)
            elif inspection.is_part(suffix):
                parts.append(suffix)
            else:
                records.append(member)
        for first in range(0, len(parts), PAGE):
            await _check_parts(site, partition, parts[first : first + PAGE], report, repair=repair)
        async for few in site.steps(records, share=_SHARE):
            await _check_records(site, few, report, repair=repair)
            if progress is not None:
                progress(report.checked, None)
    if progress is not None:
        progress(report.checked, report.checked)


async def _undeclared(
    site: Site[Any], partition: int, suffix: bytes, report: IndexReport, *, repair: bool
) -> None:
    """A key under the model's base that its declaration does not account for."""
    report.note("orphaned", suffix[1:].decode("ascii", "replace").partition(":")[0], None)
    if repair and not inspection.is_record(suffix):
        await site.commands([(b"UNLINK", site.keyspace.bases[partition] + suffix)])


async def _check_parts(
    site: Site[Any], partition: int, suffixes: list[bytes], report: IndexReport, *, repair: bool
) -> None:
    """Parts whose records are not there, and were not before and after a look at the part."""
    keyspace = site.keyspace
    members = [inspection.member_of_record(keyspace, suffix) or b"" for suffix in suffixes]
    commands: list[tuple[bytes, bytes]] = []
    for member, suffix in zip(members, suffixes, strict=True):
        record = (b"EXISTS", keyspace.record_key(member))
        commands += (record, (b"EXISTS", keyspace.bases[partition] + suffix), record)
    replies = await site.commands(commands)
    for n, (member, suffix) in enumerate(zip(members, suffixes, strict=True)):
        if replies[3 * n : 3 * n + 3] == [0, 1, 0]:
            name = suffix.split(b":")[3].decode("ascii", "replace")
            report.note("dangling", name, _pk(keyspace.schema.key.codec, member))
            if repair:
                await site.write(mutations.remove(member, guard=mutations.NEVER))  # never the record itself


async def _check_entries(
    site: Site[Any], partition: int, key: IndexKey, report: IndexReport, *, repair: bool
) -> None:
    keyspace, transport = site.keyspace, site.store.transport
    base, codec = keyspace.bases[partition], keyspace.schema.key.codec
    name = {b"k": "registry", b"d": "deadlines", b"m": "memos"}.get(key.kind, key.name.decode())
    async for found in inspection.entries(transport, keyspace, base, key):
        dangling, stale = await inspection.unclaimed(transport, keyspace, base, key, found, drop=repair)
        for kind, members in (("dangling", dangling), ("stale", stale)):
            for member in members:
                report.note(kind, name, _pk(codec, member))


def _pk(codec: Codec, member: bytes) -> Any:
    """A primary key; None where an entry is about something that cannot be one."""
    try:
        return codec.of_member(member)
    except ValueError:
        return None


async def _check_records(site: Site[M], members: list[bytes], report: IndexReport, *, repair: bool) -> None:
    keyspace = site.keyspace
    codec = keyspace.schema.key.codec
    faulty: list[bytes] = []
    for seen in await inspection.inspect(site.store.transport, keyspace, members):
        if keyspace.whole(seen.member, seen.row) is None:
            continue  # it has gone since the scan
        report.checked += 1
        findings = list(_findings(site, seen))
        for kind, index in findings:
            report.note(kind, index, codec.of_member(seen.member))
        if findings:
            faulty.append(seen.member)
    if repair and faulty:
        await mend(site, faulty)


def _findings(site: Site[M], seen: Seen) -> Iterable[tuple[str, str]]:
    """What is wrong about one record: (kind, index)."""
    keyspace = site.keyspace
    if seen.index is None and not seen.registered:
        yield "orphaned", "registry"
        return
    try:
        record = site.object(list(seen.row))
        wanted, stored = _wanted(keyspace, record), _parsed(seen.index or b"")
    except (DecodeError, ValueError):
        yield "stale", "record"
        return
    for name in sorted(wanted.keys() | stored.keys()):
        ours, theirs = wanted.get(name, set()), stored.get(name, set())
        for _ in ours - theirs:
            yield "missing", name[1:]
        for _ in theirs - ours:
            yield "stale", name[1:]
    for text in seen.missing:
        yield "missing", text.decode().partition(" ")[2]
    yield from _number_findings(keyspace, record, seen)
    if not seen.registered:
        yield "missing", "registry"
    yield from _lifetime_findings(keyspace, seen)


def _number_findings(keyspace: Keyspace, record: Record, seen: Seen) -> Iterable[tuple[str, str]]:
    for name, score, exact in zip(keyspace.numbers, seen.scores, seen.exacts, strict=True):
        spec = keyspace.schema.by_name[name.decode()]
        value = record.__dict__[spec.name]
        if value is None:
            if score is not None:
                yield "stale", spec.name
            continue
        wanted = spec.codec.score(value)
        if score is None:
            yield "missing", spec.name
        elif float(score) != wanted.number or exact not in (wanted.exact, wanted.decimal):
            yield "stale", spec.name  # that an exact form is kept for a value that needs none is no fault


def _lifetime_findings(keyspace: Keyspace, seen: Seen) -> Iterable[tuple[str, str]]:
    if seen.due is None and seen.remaining != -1:
        yield "missing", "deadlines"
    elif seen.due is not None and (seen.remaining == -1 or abs(seen.due - seen.remaining) > _CLOCKS_APART):
        yield "stale", "deadlines"
    needs_memo = seen.due is not None or keyspace.schema.evictable
    if needs_memo and seen.memo is None:
        yield "missing", "memos"
    elif seen.memo is not None and seen.memo != seen.index:
        yield "stale", "memos"


def _wanted(keyspace: Keyspace, record: Record) -> dict[str, set[bytes]]:
    """What the record's `_ix` should claim, by kind and field."""
    claims: dict[str, set[bytes]] = {}
    for spec in keyspace.schema.fields:
        value = record.__dict__[spec.name]
        match spec.kind:
            case Kind.STORED | Kind.KEY:
                continue
            case _ if value is None:
                claims["t" + spec.name] = {b"%"}
            case Kind.TEXT:
                claims["l" + spec.name] = {keys.escape_text(spec.codec.lex(value))}
            case Kind.UNIQUE:
                claims["u" + spec.name] = {spec.codec.token(value)}
            case Kind.TAG:
                member = spec.member
                one = spec.codec.token if member is None else member.token
                values = (value,) if member is None else value
                if values:
                    claims["t" + spec.name] = {b"%" if each is None else one(each) for each in values}
            case Kind.NUMBER:
                continue
    return claims


def _parsed(index: bytes) -> dict[str, set[bytes]]:
    """An `_ix` as what it claims (see apply.lua)."""
    claims: dict[str, set[bytes]] = {}
    at = 0
    while at < len(index):
        equals = index.index(b"=", at)
        payloads: set[bytes] = set()
        name, at = index[at:equals].decode(), equals + 1
        while index[at : at + 1] != b";":
            colon = index.index(b":", at)
            end = colon + 1 + int(index[at:colon])
            payloads.add(index[colon + 1 : end])
            at = end
        claims[name] = payloads
        at += 1
    return claims
