"""What an instance of a model can do with its record: the methods of `Model` that talk to the server.

Every method that writes is one round trip of apply.lua, atomic: the hash, its index entries and its lifetime change
together, and the old entries are derived on the server from what is stored. What is checked comes before the first
write; a failure leaves record and object as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any

from redisom_lite.engine.hydrate import hydrating
from redisom_lite.errors import QueryError
from redisom_lite.manager import manager_of
from redisom_lite.saving import advance, insert_mutation, key_changed, save_mutation, written
from redisom_lite.schema import lifetime as lifetimes, mutations
from redisom_lite.schema.lifetime import Lifetime
from redisom_lite.schema.model_schema import FieldSpec, Kind
from redisom_lite.schema.record import Record, set_state, state_of
from redisom_lite.site import Site

if TYPE_CHECKING:
    from typing import Self

_FORMS = {"int": b"i", "Decimal": b"d", "float": b"f"}
_BOUNDS = ("ge", "gt", "le", "lt")


class Stored(Record):
    """An object with a record."""

    async def save(self, *, ttl: Lifetime | None = None) -> Self:
        """Store the object.

        A new one is written whole and replaces what has its key. A loaded one writes only the fields that changed,
        in-place changes of lists and the like included; if its record has gone meanwhile: `NotFoundError`.
        The lifetime is kept unless `ttl` is given (`timedelta`, seconds, or "30m") or the manager is sliding.

        Raises pydantic's ValidationError for a value that does not fit its field, `UniqueError`, `ConflictError`
        (versioned models), `NotFoundError`, `BackendError`. Redis: one EVALSHA that issues HSET, ZADD/SADD/HSET for
        each changed index entry, PEXPIREAT with a lifetime.
        """
        site = _site(self)
        mutation, row = save_mutation(site, self, ttl)
        version = await site.write(mutation)
        written(site, self, row, version)
        return self

    async def insert(self, *, ttl: Lifetime | None = None) -> Self:
        """Store a new record; `AlreadyExistsError` if the key is taken: of many racers exactly one wins."""
        site = _site(self)
        mutation, row = insert_mutation(site, self, ttl)
        version = await site.write(mutation)
        written(site, self, row, version)
        return self

    async def update(self, **changes: Any) -> Self:
        """Validate changes as pydantic does on assignment, and write just those fields.

        Invalid changes raise ValidationError and leave object and record as they were; other changes of the object
        that are not saved yet stay unsaved. `NotFoundError` when there is no record.
        """
        site = _site(self)
        schema = site.schema
        if schema.key.name in changes and changes[schema.key.name] != self.__dict__[schema.key.name]:
            raise key_changed(site)
        changed = _assigned(self, changes)
        specs = [
            spec
            for spec in schema.fields
            if spec is not schema.key
            and (spec.name in changes or changed.__dict__[spec.name] is not self.__dict__[spec.name])
        ]
        values = schema.checker.validate_python(dict(changed.__dict__))
        row = mutations.encode_row(schema, values)
        state = state_of(self)
        mutation = mutations.change(
            schema,
            site.member(self),
            specs,
            values,
            version=state.version if state else None,
            lifetime=site.lifetime(None),
        )
        version = await site.write(mutation)
        for spec in specs:
            vars(self)[spec.name] = changed.__dict__[spec.name]
            self.__pydantic_fields_set__.add(spec.name)
        if state is not None:
            stored = state.row
            for spec in specs:
                stored[spec.position] = row[spec.position]
            advance(site, state, version)
        return self

    async def inc(
        self,
        *,
        ge: Any = None,
        gt: Any = None,
        le: Any = None,
        lt: Any = None,
        **deltas: Any,
    ) -> dict[str, Any]:
        """Add to numbers on the server, atomically and exactly once, and return their new values by field.

        `deltas` are int, float or Decimal by the field's type; a result outside `ge`, `gt`, `le`, `lt` or the field's
        own bounds is refused with `ConstraintError`, and nothing is changed. Decimals and integers are exact at any
        length. `None` cannot be incremented, nor can the key; a unique value that another record has is `UniqueError`.
        """
        site = _site(self)
        limits = [(b"ge", ge), (b"gt", gt), (b"le", le), (b"lt", lt)]
        given = [limit for limit in limits if limit[1] is not None]
        steps = [_step(_number_of(type(self), name), delta, given) for name, delta in deltas.items()]
        if not steps:
            raise QueryError(f"{site.name}: inc() needs a field to add to, as in inc(stock=-1)")
        state = state_of(self)
        mutation = mutations.increase(site.member(self), steps, lifetime=site.lifetime(None))
        *texts, version = await site.write(mutation)
        values = {
            step.spec.name: step.spec.codec.decode(text) for step, text in zip(steps, texts, strict=True)
        }
        vars(self).update(values)
        self.__pydantic_fields_set__.update(values)
        if state is not None:
            stored = state.row
            for step in steps:
                stored[step.spec.position] = step.spec.codec.encode(values[step.spec.name])
            advance(site, state, version)
        return values

    async def delete(self) -> bool:
        """Remove the record and its index entries; whether there was one. The object is then new again."""
        site = _site(self)
        existed = bool(await site.write(mutations.remove(site.member(self))))
        set_state(self, None)
        return existed

    async def refresh(self) -> Self:
        """Read the record again, in place; unsaved changes are lost. `NotFoundError` when it has gone."""
        site = _site(self)
        (row,) = await site.load([site.member(self)])
        if row is None:
            raise site.not_found()
        fresh = hydrating(type(self), site.keyspace, site.manager)(row)
        vars(self).clear()
        vars(self).update(fresh.__dict__)
        for slot in ("__pydantic_fields_set__", "__pydantic_extra__"):
            object.__setattr__(self, slot, getattr(fresh, slot))
        set_state(self, state_of(fresh))
        return self

    async def ttl(self) -> timedelta | None:
        """What remains of the record's lifetime, to the millisecond; None when it has no end. Redis: PTTL."""
        site = _site(self)
        (left,) = await site.commands([(b"PTTL", site.keyspace.record_key(site.member(self)))])
        if left == -2:
            raise site.not_found()
        return None if left == -1 else timedelta(milliseconds=left)

    async def expire(self, ttl: Lifetime) -> None:
        """Let the record end in `ttl` from now."""
        await self._live(lifetimes.exactly(lifetimes.milliseconds(ttl)))

    async def extend(self, by: Lifetime) -> None:
        """Let the record live longer than it would; one without an end has none afterwards either."""
        await self._live(lifetimes.longer(lifetimes.milliseconds(by)))

    async def persist(self) -> None:
        """Take the record's end away."""
        await self._live(lifetimes.FOREVER)

    async def _live(self, lifetime: bytes) -> None:
        site = _site(self)
        await site.write(mutations.live(site.member(self), lifetime))


def _site(record: Record) -> Site[Any]:
    return manager_of(record).site()


def _assigned(record: Record, changes: dict[str, Any]) -> Record:
    """A copy with the changes made one by one, each validated with all the others in place."""
    copied = record.model_copy()
    known = type(record).model_fields
    if type(record).model_config.get("frozen"):
        for name, value in changes.items():
            setattr(copied, name, value)  # raises; the validator below knows of frozen fields only
    vars(copied).update((name, value) for name, value in changes.items() if name in known)
    for name, value in changes.items():
        type(record).__pydantic_validator__.validate_assignment(copied, name, value)
    return copied


@dataclass(frozen=True, slots=True)
class _Number:
    """A field that can be added to: in which form, within its own bounds, from what where it is absent."""

    spec: FieldSpec
    form: bytes
    bounds: tuple[tuple[bytes, bytes], ...]
    default: bytes


@cache
def _number_of(model: type[Record], name: str) -> _Number:
    spec = model.__redisom_schema__.by_name.get(name)
    if spec is None:
        raise QueryError(f"{model.__name__} has no field {name!r}: name one of its fields")
    if spec.kind is Kind.KEY:
        raise QueryError(f"{spec} is the key, which stays: delete the record, and insert a new one")
    form = _FORMS.get(spec.codec.form)
    if form is None:
        raise QueryError(f"{spec} is no int, float or Decimal: update() it instead")
    own = [(bound.encode(), getattr(spec.bounds, bound)) for bound in _BOUNDS]
    default = model.model_fields[name].default
    return _Number(
        spec,
        form,
        _bounds(spec, form, [limit for limit in own if limit[1] is not None]),
        spec.codec.encode(default) if isinstance(default, int | float | Decimal) else b"",
    )


def _step(number: _Number, delta: Any, given: list[tuple[bytes, Any]]) -> mutations.Step:
    spec, form, bounds = number.spec, number.form, number.bounds
    if type(delta) is not int:  # which may be added to any number
        accepted = {b"i": (int,), b"d": (int, Decimal), b"f": (int, float)}[form]
        if not isinstance(delta, accepted) or isinstance(delta, bool):
            raise QueryError(
                f"{spec}: the amount must be of type {spec.codec.name}, not {type(delta).__name__}"
            )
    if given:
        bounds = (*_bounds(spec, form, given), *bounds)
    return mutations.Step(spec, form, _text(spec, form, delta, "the amount"), number.default, bounds)


def _bounds(spec: FieldSpec, form: bytes, limits: list[tuple[bytes, Any]]) -> tuple[tuple[bytes, bytes], ...]:
    for bound, value in limits:
        if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
            raise QueryError(f"{spec}: {bound.decode()} must be a number, not {type(value).__name__}")
    return tuple((bound, _text(spec, form, value, bound.decode())) for bound, value in limits)


def _text(spec: FieldSpec, form: bytes, value: Any, what: str) -> bytes:
    """A number as text that apply.lua adds or compares."""
    if value != value or abs(value) == inf:
        raise QueryError(f"{spec}: {what} must be finite")
    try:
        return repr(float(value)).encode() if form == b"f" else str(value).encode()
    except (OverflowError, ValueError):
        raise QueryError(f"{spec}: {what} is too large") from None
