"""`Manager[M]`: the records of one model, by key and in bulk, the lifetimes they get, and where queries begin.

A manager belongs to a model class (`Product.objects`); subclass it for domain methods, give it a `ttl` for records
that end. A model may hold several with different lifetimes: they share the records, and each object follows the
manager that created or loaded it.

What type checkers see: `Product.objects` is a `Manager[Product]` until a class has its own, and `objects =
Manager(...)` needs no annotation to become one of its class, nor does `objects = ProductManager()` to keep its own
type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, Self, overload

from typing_extensions import TypeVar

from redisom_lite import checking, scanning
from redisom_lite.bulk import Progress, delete_many, save_many
from redisom_lite.checking import IndexReport
from redisom_lite.codec import Score
from redisom_lite.engine.store import Store, store_of
from redisom_lite.errors import AlreadyExistsError, DeclarationError, QueryError, RedisomError
from redisom_lite.plan.expression import Condition, NumberRange, Term
from redisom_lite.plan.planner import Selection
from redisom_lite.query import Query, check_condition
from redisom_lite.reindexing import reindex
from redisom_lite.saving import insert_mutation, written
from redisom_lite.scanning import MOST, Scan
from redisom_lite.schema import mutations
from redisom_lite.schema.lifetime import Lifetime, milliseconds
from redisom_lite.schema.model_schema import deadline_of
from redisom_lite.schema.record import Record, state_of
from redisom_lite.site import Site

if TYPE_CHECKING:

    class Unbound(Record):
        """The model of a `Manager()` that stands in no class yet."""


MYPY = False  # mypy, and only mypy, takes this name for true

BATCH_SIZE: Final = 200

M = TypeVar("M", bound=Record, default="Unbound")
N = TypeVar("N", bound=Record)
R = TypeVar("R", bound=Record)


class Objects:
    """`Model.objects` to type checkers: what each class has, and what any manager may take the place of."""

    if TYPE_CHECKING and not MYPY:

        def __get__(self, obj: None, owner: type[N], /) -> Manager[N]: ...


class Manager(Objects, Generic[M]):
    """Reads and writes the records of one model.

    `ttl` is the lifetime new records get: a timedelta, seconds, or text such as "30m" or "7d". With `sliding` it is
    renewed on every load by key and every save.
    """

    ttl: timedelta | None
    sliding: bool
    _ttl_ms: int | None
    _site: Site[M] | None = None

    if TYPE_CHECKING and MYPY:  # mypy wants to be told what `Manager()` is before a class has it

        def __init__(  # pyright: ignore[reportRedeclaration]
            self: Manager[Any], ttl: timedelta | float | str | None = None, sliding: bool = False
        ) -> None: ...

    else:

        def __init__(self, ttl: timedelta | float | str | None = None, sliding: bool = False) -> None:
            if sliding and ttl is None:
                raise DeclarationError(
                    "Manager(sliding=True) has no lifetime to renew: write Manager(ttl=..., sliding=True)"
                )
            try:
                self._ttl_ms = None if ttl is None else milliseconds(ttl, "Manager(ttl=...)")
            except RedisomError as error:
                raise DeclarationError(str(error)) from None
            self.ttl = None if self._ttl_ms is None else timedelta(milliseconds=self._ttl_ms)
            self.sliding = sliding

    if TYPE_CHECKING:

        @overload
        def __get__(self: Manager[Unbound], obj: None, owner: type[N], /) -> Manager[N]: ...
        @overload
        def __get__(self, obj: object, owner: Any, /) -> Self: ...
        def __get__(self, obj: object, owner: Any, /) -> Any: ...

    model: Any = None
    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def bound_to(self, model: type[N]) -> Manager[N]:
        """A copy of this manager for one model."""
        bound: Any = object.__new__(type(self))
        bound.__dict__.update(self.__dict__, model=model, _site=None)
        manager: Manager[N] = bound
        return manager

    def __reduce__(self) -> Any:
        return getattr, (self.model, self.name)

    def site(self) -> Site[M]:
        """Where the records are; `NotBoundError` when the model has no database."""
        store, site = store_of(self.model), self._site
        if site is None or site.store is not store:
            keyspace = store.keyspace(self.model.__redisom_schema__)
            site = self._site = Site(self.model, self, store, keyspace, self._ttl_ms, self.sliding)
        return site

    # By key.

    async def get(self, pk: Any) -> M:
        """The record with this key; `NotFoundError` when there is none. Redis: HMGET."""
        site = self.site()
        row = await site.one(site.member_of(pk))
        if row is None:
            raise site.not_found()
        return site.object(row)

    async def get_or_none(self, pk: Any) -> M | None:
        """The record with this key, or None. Redis: HMGET."""
        site = self.site()
        row = await site.one(site.member_of(pk))
        return None if row is None else site.object(row)

    async def get_many(self, pks: Iterable[Any]) -> list[M | None]:
        """The records with these keys, in the order of the keys, None where there is none. Redis: HMGETs, pipelined."""
        site = self.site()
        return await site.objects([site.member_of(pk) for pk in several(pks)])

    async def exists(self, pk: Any) -> bool:
        """Whether there is a record with this key. Redis: EXISTS."""
        site = self.site()
        (found,) = await site.store.backend.reader.exist(site.keyspace, [site.member_of(pk)])
        return found

    async def create(self, **fields: Any) -> M:
        """Make an object of these fields and insert it; `AlreadyExistsError` if the key is taken."""
        return await self._insert(self.model(**fields))

    async def get_or_create(self, pk: Any, defaults: Mapping[str, Any] | None = None) -> tuple[M, bool]:
        """The record with this key, created from `defaults` if there is none, and whether it was created.

        Atomic: of many racers exactly one creates it, the others get its record.
        """
        while True:
            found = await self.get_or_none(pk)
            if found is not None:
                return found, False
            key = self.model.__redisom_schema__.key.name
            try:
                record = self.model.model_validate({**(defaults or {}), key: pk}, by_name=True, by_alias=True)
                return await self._insert(record), True
            except AlreadyExistsError:
                continue  # another was first; should its record be gone again by now, so much the better

    async def _insert(self, record: M) -> M:
        site = self.site()
        mutation, row = insert_mutation(site, record, None)
        written(site, record, row, await site.write(mutation))
        return record

    async def delete(self, pk: Any) -> bool:
        """Delete the record with this key; whether there was one."""
        site = self.site()
        return bool(await site.write(mutations.remove(site.member_of(pk))))

    # In bulk.

    async def save_many(
        self,
        objects: Iterable[M],
        *,
        ttl: Lifetime | None = None,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> int:
        """Save many objects, `batch_size` in each step, and return how many.

        Good records land though others fail: the failures are raised at the end as `BulkError`, with the position of
        each; nothing of a failing record is written. Of two with one key the last wins, of two with one unique value
        the later fails. `progress(done, total)` is called after each step; `total` is None for an iterator. A lost
        connection is a `BackendError`.
        """
        return await save_many(self.site(), objects, ttl=ttl, batch_size=batch_size, progress=progress)

    async def delete_many(self, pks: Iterable[Any], *, batch_size: int = BATCH_SIZE) -> int:
        """Delete the records with these keys, `batch_size` in each step; how many there were."""
        return await delete_many(self.site(), several(pks), batch_size=batch_size)

    def expiring(self, *, within: Lifetime) -> Query[M]:
        """A query for the records whose lifetime ends `within` this from when it runs, soonest first."""
        schema = self.model.__redisom_schema__
        deadline, ms = deadline_of(schema), milliseconds(within, "expiring(within=...)")
        soon = NumberRange(deadline, None, Score(b"+%d" % ms, float(ms), None, ms))
        return Query(self, Selection(schema, (soon,), (Term(deadline),)))

    # Upkeep.

    async def sweep(self) -> int:
        """Clean up what records left in the indexes when their lifetime ended; how many records.

        Never needed for right answers: queries and writes pass over such records, and clean a few each time.
        """
        return await checking.sweep(self.site())

    async def check(self, *, repair: bool = False, progress: Progress | None = None) -> IndexReport:
        """Compare every record with every index entry, both ways, while others go on writing.

        `repair` makes the indexes what the records say, and drops what no record claims. `progress(checked, total)` is
        called as it goes; `total` is None until the end. Redis: SCAN over the whole database, and bounded steps.
        """
        return await checking.check(self.site(), repair=repair, progress=progress)

    async def reindex(self, *, progress: Progress | None = None) -> int:
        """Index every record anew, and make the declared indexes ready; how many records.

        For an index declared after records had been written, and for hashes that other programs wrote. Online, in
        bounded steps; after a kill, the next run goes on where the last stopped. `IndexNotReadyError` when a process
        that does not declare the index has written meanwhile.
        """
        return await reindex(self.site(), progress)

    # Queries.

    def find(self, *where: Condition) -> Query[M]:
        """A query for the records that satisfy all these conditions, to be narrowed, ordered and awaited."""
        schema = self.model.__redisom_schema__
        for condition in where:
            check_condition(schema, condition)
        return Query(self, Selection(schema, where))

    def scan(self, test: Callable[[M], object], *, most: int = MOST) -> Scan[M]:
        """`find().scan(...)`: the records that pass a test in Python. Bounded by `most`, and warned about."""
        scanning.warn(self.model.__name__)
        return Scan(self.model.__name__, self.find(), test, most)


def manager_of(record: Record) -> Manager[Any]:
    """The manager that created or loaded an object, else its model's `objects`."""
    state = state_of(record)
    manager: Any = None if state is None else state.manager
    if manager is None:
        manager = getattr(type(record), "objects")  # noqa: B009 - declared a floor above
    found: Manager[Any] = manager
    return found


def site_in(store: Store, model: type[R], what: str) -> Site[R]:
    """Where the records of a model are, for `what` (a transaction, a batch) that goes over `store`."""
    if not _is_model(model):
        raise QueryError(f"a {what} reads models: give it the class, and the keys apart")
    manager: Any = getattr(model, "objects")  # noqa: B009 - declared a floor above
    return _checked(manager.site(), store, what)


def site_of(store: Store, record: Record, what: str) -> Site[Any]:
    """Where the record of an object is, for `what` that goes over `store`."""
    if not _is_model(type(record)):
        raise QueryError(f"a {what} writes objects of models, not {type(record).__name__}")
    return _checked(manager_of(record).site(), store, what)


def _is_model(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, Record)


def _checked(site: Site[R], store: Store, what: str) -> Site[R]:
    if site.store is not store:
        raise QueryError(f"{site.name} lives in another database than this {what}")
    return site


def several(pks: Iterable[Any]) -> list[Any]:
    """Keys as a list; `QueryError` for one text, whose characters are hardly meant."""
    if isinstance(pks, str | bytes):
        raise QueryError("keys are given as a list, not as one text")
    return list(pks)
