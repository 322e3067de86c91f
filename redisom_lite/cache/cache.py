"""`Cache`: answers kept under keys until their lifetime ends or a write outdates them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, ParamSpec, TypeVar, overload

from redisom_lite.cache.cached import UNSET, Asked, Cached, Declared, several
from redisom_lite.cache.dependencies import Dependencies, Depends, Place, depending, forget, places
from redisom_lite.cache.entries import Entries, Entry
from redisom_lite.cache.loading import Loading
from redisom_lite.cache.request import Policy, Request
from redisom_lite.cache.statistics import CacheStats, Counts, stats_of
from redisom_lite.codec.base import key_safe
from redisom_lite.containers.typed import Values, values_of
from redisom_lite.engine.store import Store
from redisom_lite.errors import ConstraintError, DeclarationError, RedisomError
from redisom_lite.schema.lifetime import Lifetime, milliseconds
from redisom_lite.schema.record import Record

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_ALL: Final = b""  # the tag of every entry


class Cache:
    """Answers under keys, in the database's namespace: `Cache(db, "search", ttl="5m")`. Making it does no I/O.

    - `prefix`: what tells this cache from others; processes that give the same share its entries and their types.
    - `ttl`: how long an answer is fresh: a timedelta, seconds, or text such as "30s", "5m".
    - `stale`: how long after that, or after a write has outdated it, an answer is kept to stand in for a loader that
      raises. None: it never does, and what the loader raises is raised.
    - `negative`: how long "nothing" is fresh: None, and `NotFoundError`, which is then remembered too. None: None is
      fresh as long as any other answer, and `NotFoundError` is not remembered.
    - `early`: how eagerly answers are loaded anew before their end, so that nobody waits; 1 is right for most, 0 is
      never. It is by chance, the likelier the longer a load takes and the nearer the end.
    - `lock`: the life of a loader's lock; it is kept while the loader runs, so others wait this long for one that died.
    - `type`: the type of values where a call does not say; by default what JSON can hold and gives back as it was.

    Each of these but `lock` may be given anew for one decorated function or call.
    """

    def __init__(
        self,
        db: Store,
        prefix: str,
        ttl: Lifetime,
        *,
        stale: Lifetime | None = None,
        negative: Lifetime | None = None,
        early: float = 1.0,
        lock: Lifetime = "10s",
        type: Any = Any,
    ) -> None:
        if not _is_text(prefix):
            raise DeclarationError("Cache(db, prefix, ttl): a cache needs a prefix that tells it from others")
        self.prefix = prefix
        self._policy = self._policy_of(Policy(fresh=0, lock=_ms(lock, "lock")), ttl, stale, negative, early)
        self._values: Values[Any] = _values_of(type)
        self._store = db
        self._entries = Entries(db, prefix)
        self._counts = Counts()
        self._loading = Loading(self._entries, self._counts)
        self._known: dict[bytes, Place] = {}

    def __repr__(self) -> str:
        return f"<Cache {self.prefix!r}>"

    def _policy_of(
        self,
        policy: Policy,
        ttl: Lifetime | None,
        stale: Lifetime | None,
        negative: Lifetime | None,
        early: float | None = None,
    ) -> Policy:
        if ttl is not None:
            policy = replace(policy, fresh=_ms(ttl, "ttl"))
        if stale is not None:
            policy = replace(policy, grace=_ms(stale, "stale"))
        if negative is not None:
            policy = replace(policy, negative=_ms(negative, "negative"))
        if early is not None:
            if not 0 <= early < 1000:
                raise DeclarationError("Cache(early=...) is a factor from 0 (never) on; 1 suits most")
            policy = replace(policy, early=early)
        return policy

    # Decorating.

    def __call__(
        self,
        *,
        key: str | None = None,
        ttl: Lifetime | None = None,
        depends_on: Depends = (),
        tags: str | Iterable[str] = (),
        stale: Lifetime | None = None,
        negative: Lifetime | None = None,
        early: float | None = None,
        type: Any = UNSET,
    ) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Cached[P, R]]:
        """Answer an async function's calls from this cache: `@cache(key="search:{text}:{page}", depends_on=[Product])`.

        - `key`: a template of the function's arguments; without one, a digest of them all, the same in every process.
        - `depends_on`: models, conditions, queries: an answer is outdated by the next write that enters, leaves or
          changes a record inside one of them. Or a function of the arguments that returns them.
        - `tags`: templates of names by which `invalidate` finds the answers.
        - `type`: the type of the values, in place of the return annotation.

        `DeclarationError` for what cannot work. Redis: a hit is one EVALSHA; a miss four, around the load.
        """
        policy = self._policy_of(self._policy, ttl, stale, negative, early)
        declared = Declared(policy, key, several(tags), depends_on, type)

        def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Cached[P, R]:
            return Cached(self, function, declared)

        return decorate

    async def answer(self, key: str, loader: Callable[[], Any], asked: Asked) -> Any:
        """What a decorated function answers; `get_or_load` for one's own use."""
        found = places(asked.depends)
        self._learn(found)
        return await self._loading.answer(
            Request(_key(key), loader, asked.values, asked.policy, _tags(asked.tags), found)
        )

    # By key.

    async def get_or_load(
        self,
        key: str,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: Lifetime | None = None,
        depends_on: Dependencies = (),
        tags: str | Iterable[str] = (),
        stale: Lifetime | None = None,
        negative: Lifetime | None = None,
        type: Any = None,
    ) -> T:
        """The answer under a key, loaded by `loader()` if there is none: once, however many ask, in all processes.

        Every caller gets a value of its own, read from what is stored. Raises what the loader raises.
        """
        policy = self._policy_of(self._policy, ttl, stale, negative)
        asked = Asked(self._typed(type), policy, several(tags), depending(depends_on))
        found: T = await self.answer(key, loader, asked)
        return found

    @overload
    async def get(self, key: str, default: None = None, *, type: type[T]) -> T | None: ...
    @overload
    async def get(self, key: str, default: T, *, type: type[T]) -> T: ...
    @overload
    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any: ...
    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        """The fresh answer under a key, which may be None or false, or `default` if there is none.

        One that depends on models is found where this process has said so too, by a decorated function or a call; else
        it counts as none. Redis: EVALSHA.
        """
        request = Request(_key(key), _no_loader, self._typed(type), self._policy)
        look = await self._loading.peek(request, {})
        if look.seen.entry is not None and look.seen.entry.marks:
            look = await self._loading.peek(request, self._behind(look.seen.entry))
        if not look.fresh or look.not_found:
            self._counts.add("misses")
            return default
        return self._loading.hit(look)

    async def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: Lifetime | None = None,
        depends_on: Dependencies = (),
        tags: str | Iterable[str] = (),
        type: Any = None,
    ) -> None:
        """Keep an answer under a key; what is being loaded for it is not stored any more.

        `depends_on` counts from now on: a write between reading what the value is made of and this call goes
        unnoticed, so give such answers through `get_or_load`. Redis: EVALSHA.
        """
        found = places(depending(depends_on))
        request = Request(
            _key(key),
            _no_loader,
            self._typed(type),
            self._policy_of(self._policy, ttl, None, None),
            _tags(several(tags)),
            found,
        )
        await self._loading.set(request, value)
        self._learn(found)

    async def delete(self, key: str) -> bool:
        """Forget the answer under a key; whether there was one. What is being loaded for it is not stored.

        Redis: DEL.
        """
        return await self._entries.delete(_key(key))

    # Many at once.

    async def invalidate(self, *tags_or_models: str | type[Record]) -> None:
        """Outdate every answer that has one of these tags, or depends on one of these models; those being loaded too.

        An answer with the tag never stands in for a failed load. Answers that depend on a model, or on a condition on
        it, are outdated in every cache, as by a write that concerns them all: for when another program has written.

        Redis: DEL of one key for each tag, HDEL for each partition of a model, however many answers.
        """
        tags = [each for each in tags_or_models if not isinstance(each, type)]
        models = [each for each in tags_or_models if isinstance(each, type)]
        await self._entries.touch(_tags(tags)[1:])
        await forget(places(depending(models)).values())

    async def clear(self) -> None:
        """Outdate every answer of this cache, those being loaded too. Their memory is free when their lifetime ends.

        Redis: DEL of one key.
        """
        await self._entries.touch([_ALL])

    async def stats(self) -> CacheStats:
        """What all processes have counted. Others' counts arrive with the answers they store, and when they ask this.

        Redis: HINCRBY, HGETALL.
        """
        counts = self._counts.take()
        try:
            return stats_of(await self._entries.add_counts(counts))
        except RedisomError:
            self._counts.put_back(counts)
            raise

    # How.

    def _typed(self, given: Any) -> Values[Any]:
        return self._values if given is None else _values_of(given)

    def _learn(self, found: Mapping[bytes, Place]) -> None:
        """Remember the places that answers depend on, for `get`."""
        for base, place in found.items():
            if base not in self._known:
                self._known[base] = replace(place, watches=(), asked=())

    def _behind(self, entry: Entry) -> dict[bytes, Place]:
        """The places that an entry depends on, as far as they are known."""
        asked: dict[bytes, tuple[bytes, ...]] = {}
        for mark in entry.marks:
            asked[mark.base] = (*asked.get(mark.base, ()), mark.digest)
        return {
            base: replace(self._known[base], asked=digests)
            for base, digests in asked.items()
            if base in self._known
        }


def _is_text(given: object) -> bool:
    return isinstance(given, str) and bool(given)


def _ms(lifetime: Lifetime, name: str) -> int:
    try:
        return milliseconds(lifetime, f"a cache's {name}")
    except ConstraintError as error:
        raise DeclarationError(str(error)) from None


def _values_of(annotation: Any) -> Values[Any]:
    try:
        return values_of(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return Values(annotation)


def _key(key: str) -> str:
    if not _is_text(key):
        raise ConstraintError(
            "a cache's key is text, and not empty: a template or a digest makes one of arguments"
        )
    return key


def _tags(tags: Iterable[str]) -> tuple[bytes, ...]:
    names = list(dict.fromkeys(tags))
    if not all(map(_is_text, names)):
        raise ConstraintError("a tag is text, and not empty")
    return (_ALL, *(key_safe(name.encode()) for name in names))


async def _no_loader() -> None: ...
