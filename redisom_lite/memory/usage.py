"""What a model weighs, estimated from a bounded sample of its records and index keys.

Index keys that exist once for a model (registry, deadlines, sorted sets) are all measured; of those that exist once for
each tag value, a random sample is, and stands for the others. The server in turn samples within a large key. So the
figures are estimates: good to a few percent for like records, less for very unlike ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redisom_lite.engine.administration import require_server, unrefused
from redisom_lite.engine.store import Store, store_of
from redisom_lite.errors import ConstraintError
from redisom_lite.memory.sizes import readable
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.record import Record

_SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of one model, estimated: `sampled_records` and `sampled_keys` say from how many measured ones.

    `records` counts live and overdue records alike, as both still weigh, and `record_bytes` the parts they have too;
    `index_keys` are the keys around them.
    """

    model: str
    records: int
    record_bytes: int
    index_keys: int
    index_bytes: int
    sampled_records: int
    sampled_keys: int

    @property
    def bytes(self) -> int:
        """Records and indexes together."""
        return self.record_bytes + self.index_bytes

    @property
    def per_record(self) -> float:
        """Bytes for each record, its index entries included; 0.0 when there is none."""
        return self.bytes / self.records if self.records else 0.0

    def __str__(self) -> str:
        return (
            f"{self.model}: {self.records} records {readable(self.record_bytes)}, {self.index_keys} index keys "
            f"{readable(self.index_bytes)} (from {self.sampled_records} records, {self.sampled_keys} keys)"
        )


async def usage(model: type[Record], *, sample: int = _SAMPLE) -> Usage:
    """What a model weighs, from at most `sample` records and `sample` keys of each tag field, of each partition.

    Redis: MEMORY USAGE of each, ZRANDMEMBER and HRANDFIELD to choose them (6.2 and newer). `BackendError` on
    `memory://`.
    """
    if isinstance(sample, bool) or sample < 1:
        raise ConstraintError("usage(sample=...) is a whole number from 1 on")
    store = store_of(model)
    require_server(store, "MEMORY USAGE")
    keyspace = store.keyspace(model.__redisom_schema__)
    parts = [await _partition(store, keyspace, number, sample) for number in range(len(keyspace.bases))]
    totals = [sum(column) for column in zip(*parts, strict=True)]
    return Usage(model.__name__, *totals)


async def _partition(store: Store, keyspace: Keyspace, number: int, sample: int) -> tuple[int, ...]:
    registry = keyspace.registry(number)
    (count, members) = await _ask(store, (b"ZCARD", registry), (b"ZRANDMEMBER", registry, b"%d" % sample))
    weights = [
        size for size in await _weigh(store, [keyspace.record_key(member) for member in members]) if size
    ]
    parts = await _weigh(store, await _part_keys(store, keyspace, number, members))
    whole = sum(weights) + sum(size or 0 for size in parts)
    record_bytes = round(count * whole / len(weights)) if weights else 0
    keys = index_bytes = measured = 0
    for found, names in await _index_keys(store, keyspace, number, sample):
        sizes = [size for size in await _weigh(store, names) if size]
        measured += len(sizes)
        # what stands for others: `found` keys, of which len(names) were asked for
        share = found / len(names) if names else 0
        keys += round(len(sizes) * share)
        index_bytes += round(sum(sizes) * share)
    return count, record_bytes, keys, index_bytes, len(weights), measured


async def _part_keys(store: Store, keyspace: Keyspace, number: int, members: Sequence[bytes]) -> list[bytes]:
    (listed,) = await _ask(store, (b"HGET", keyspace.bases[number] + b":meta", b"parts"))
    names: list[bytes] = listed.split(b",") if listed else []
    return [keyspace.part_key(member, name) for member in members for name in names]


async def _index_keys(
    store: Store, keyspace: Keyspace, number: int, sample: int
) -> list[tuple[int, list[bytes]]]:
    """Groups of index keys: how many there are, and a sample of them."""
    base, schema = keyspace.bases[number], keyspace.schema
    names = [spec.name.encode() for spec in schema.fields if spec.indexed]
    single = [base + suffix for suffix in (b":k", b":due", b":memo", b":meta", b":op")]
    single += [base + kind + name for name in names for kind in (b":i:", b":x:", b":v:", b":u:")]
    groups = [(len(single), single)]
    for tag in keyspace.tags:
        listing = base + b":v:" + tag
        total, tokens = await _ask(store, (b"HLEN", listing), (b"HRANDFIELD", listing, b"%d" % sample))
        stems = [base + b":t:" + tag + b":"]
        stems += [
            base + b":c:" + tag + b":" + each.range.encode() + b":"
            for each in schema.composites
            if each.tag.encode() == tag
        ]
        for stem in stems:
            groups.append((1, [stem + b"%"]))  # the value None is in no listing
            groups.append((total, [stem + token for token in tokens]))
    return groups


async def _ask(store: Store, *commands: Sequence[bytes]) -> list[Any]:
    return unrefused(await store.transport.commands(commands, retry=True))


async def _weigh(store: Store, keys: Sequence[bytes]) -> list[int | None]:
    return await _ask(store, *((b"MEMORY", b"USAGE", key) for key in keys)) if keys else []
