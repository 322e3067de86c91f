"""`Part`: a container that belongs to each record of a model, and lives and dies with it.

    class Cart(Model):
        id: Key[str]
        items = Part(HashMap[str, int])

Its key is `<base>:p:<pk>:<name>`, in the slot of the record. A write to it checks in the same step that there is a
record, gives the key the record's end, and lists the part's name in the model's `:meta`; apply.lua, which every change
of a record goes through, deletes and ends the keys of the parts listed there together with the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from redisom_lite import keys
from redisom_lite.engine.store import Store
from redisom_lite.errors import DeclarationError
from redisom_lite.manager import manager_of
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True)
class Owner:
    """What a part belongs to: its record's key, what the keys of its model begin with; and its name there."""

    record: bytes
    base: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a structure is; `name` is for messages."""

    store: Store
    key: bytes
    name: str
    owner: Owner | None = None


class Placeable(Protocol):
    """What a part can be: a container."""

    @classmethod
    def unplaced(cls, options: dict[str, Any]) -> Self:
        """One that is nowhere yet."""
        ...

    def at(self, place: Place) -> Self:
        """The same, there."""
        ...


C = TypeVar("C", bound=Placeable)


class Part(Generic[C]):
    """A container for each record of a model: `items = Part(HashMap[str, int])` in the class body.

    `cart.items` is that of a record; so is `Cart.items.of(pk)`, without loading the record. Writing to it needs the
    record (`NotFoundError` when there is none) and takes effect at once: it waits for no `save()`, and is in no
    transaction. It ends when the record ends and is deleted when the record is, whatever does that; `save()` of a new
    object over a live record keeps it. `options` are those of the container that are not about place and lifetime: `ge`
    and `le` of a `Counter`, `window` and `le` of a `WindowCounter`.
    """

    model: Any = None
    name: str = ""

    def __init__(self, kind: type[C], **options: Any) -> None:
        if not hasattr(kind, "unplaced"):
            raise DeclarationError(
                "Part(...) takes a class of redisom_lite.containers, as in Part(HashMap[str, int])"
            )
        try:
            self._container: C = kind.unplaced(options)
        except TypeError:
            raise DeclarationError(
                f"Part({kind.__name__}, ...) has options that this container does not take: "
                "its name and lifetime are those of the record"
            ) from None

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, obj: None, owner: type[Record]) -> Self: ...
    @overload
    def __get__(self, obj: Record, owner: type[Record]) -> C: ...
    def __get__(self, obj: Record | None, owner: type[Record]) -> Self | C:
        if obj is None:
            return self
        site = manager_of(obj).site()
        return self._at(site, site.member(obj))

    def of(self, pk: Any) -> C:
        """The part of the record with this key. No I/O."""
        site = self.model.objects.site()
        return self._at(site, site.member_of(pk))

    def bound_to(self, model: type) -> Self:
        """A copy of this part for one model."""
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__, model=model)
        return bound

    def _at(self, site: Site[Any], member: bytes) -> C:
        keyspace, name = site.keyspace, keys.encode(self.name.encode())
        owner = Owner(keyspace.record_key(member), keyspace.bases[keyspace.partition(member)], name)
        place = Place(site.store, keyspace.part_key(member, name), f"{site.name}.{self.name}", owner)
        return self._container.at(place)
