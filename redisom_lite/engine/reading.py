"""What to read of the records that a query finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from redisom_lite.engine.finding import Row, Trace
from redisom_lite.plan.matching import fields_of
from redisom_lite.plan.ordering import After, rest
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.plan.slicing import is_cut, slices
from redisom_lite.schema.keyspace import Keyspace

Found: TypeAlias = tuple[bytes, Row]


class Reading(NamedTuple):
    """What to read of the records a plan finds: the hash fields (None: all of a row), and where to note the cost."""

    keyspace: Keyspace
    query: Prepared
    names: tuple[bytes, ...] | None = None
    trace: Trace | None = None

    def behind(self, after: After) -> tuple[Reading, After]:
        """What comes after a record whose first order column is None: just those, in what order is left."""
        texts = after.texts[1:] if len(after.texts) > 1 else ()
        return self.rest(), After(after.member, texts)

    def rest(self) -> Reading:
        return self._replace(query=prepare(rest(self.query.selection)))

    def slices(self, partition: int) -> Iterable[Reading]:
        """What to ask a partition: all at once, or slice by slice where the query lists thousands of values."""
        if not is_cut(self.query):
            return (self,)
        keyspace = self.keyspace
        several = len(keyspace.bases) > 1
        found = slices(self.query, (lambda key: keyspace.partition(key) == partition) if several else None)
        return (self._replace(query=each) for each in found)

    @property
    def mode(self) -> bytes:
        """How find.lua gives rows: all of them where the deadline is asked for, which no row tells."""
        return b"rows" if self.query.statement.timed else b"few"

    @property
    def names_to_test(self) -> tuple[bytes, ...]:
        """The hash fields to read, with those that the conditions are about."""
        if self.names is None:
            return self.keyspace.names
        tested = (field.word for clause in self.query.clauses for field in fields_of(clause))
        return tuple(dict.fromkeys((*self.names, *tested)))

    def whole_rows(self, rows: list[Row]) -> list[Row]:
        """Rows of all fields, None for those not read."""
        return rows if self.names is None else self.widened(rows, self.names)

    def widened(self, rows: list[Row], names: tuple[bytes, ...]) -> list[Row]:
        """Rows of these hash fields as rows of all fields."""
        if names == self.keyspace.names:
            return rows
        places = [self.keyspace.names.index(name) for name in names]
        width = len(self.keyspace.names)
        wide: list[Row] = []
        for row in rows:
            full: Row = [None] * width
            for place, text in zip(places, row, strict=False):
                full[place] = text
            wide.append(full + row[len(places) :])  # a deadline travels behind the row
        return wide
