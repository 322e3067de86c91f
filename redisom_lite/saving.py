"""How an object becomes a mutation, and what it remembers once that is written."""

from __future__ import annotations

from typing import Any

from redisom_lite.errors import ConstraintError
from redisom_lite.schema import mutations
from redisom_lite.schema.lifetime import Lifetime
from redisom_lite.schema.record import Record, State, set_state, state_of
from redisom_lite.site import Site


def insert_mutation(
    site: Site[Any], record: Record, ttl: Lifetime | None
) -> tuple[mutations.Mutation, mutations.Row]:
    """The mutation that stores a record whose key must be free."""
    values = site.schema.checker.validate_python(dict(record.__dict__))
    return mutations.put(site.schema, values, only_if_absent=True, lifetime=site.first_lifetime(ttl))


def save_mutation(
    site: Site[Any], record: Record, ttl: Lifetime | None, ahead: dict[int, State] | None = None
) -> tuple[mutations.Mutation, mutations.Row]:
    """The mutation that stores an object as it is now, and the row its record will have.

    `ahead` has, by object, what saves that are still to be sent will make of its record: this one comes behind them.
    """
    schema = site.schema
    values = schema.checker.validate_python(dict(record.__dict__))
    state = state_of(record)
    if state is None:
        return mutations.put(schema, values, only_if_absent=False, lifetime=site.first_lifetime(ttl))
    row = mutations.encode_row(schema, values)
    specs, version = mutations.dirty(schema, state.row, values, row), state.version
    if ahead is not None:
        known = ahead.get(id(record), state)
        if known is not state:
            # what differs from either, for nobody knows yet whether the earlier save will succeed
            changed = {*specs, *mutations.dirty(schema, known.row, values, row)}
            specs, version = [spec for spec in schema.fields if spec in changed], known.version
        ahead[id(record)] = State(row, version + 1 if version is not None and specs else version)
    if schema.key in specs:
        raise key_changed(site)
    member = schema.key.codec.member(values[schema.key.name])
    lifetime = site.lifetime(ttl)
    return mutations.change(schema, member, specs, values, version=version, lifetime=lifetime), row


def written(site: Site[Any], record: Record, row: mutations.Row, version: int) -> None:
    """Remember that an object's record now has this row."""
    set_state(record, State(row, version if site.schema.versioned else None, site.manager))


def advance(site: Site[Any], state: State, version: int) -> None:
    """Follow the record's version, unless others have written in between: a later save is to notice that."""
    if site.schema.versioned and state.version is not None and version == state.version + 1:
        state.version = version


def key_changed(site: Site[Any]) -> ConstraintError:
    return ConstraintError(
        f"{site.name}.{site.schema.key.name}: the key of a stored record cannot change: "
        "delete it, and insert a new one",
        model=site.name,
    )
