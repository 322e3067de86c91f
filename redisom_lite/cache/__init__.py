"""Answers kept for a while: loaded once however many ask, and dropped by the writes they depend on.

    cache = Cache(db, "search", ttl="5m")

    @cache(key="search:{text}:{page}", depends_on=[Product])
    async def search(text: str, page: int) -> list[Product]: ...

    await search("tea", 1)              loaded by the first caller, of all processes
    await search.delete("tea", 1)       forget one answer
    await cache.invalidate("user:7")    forget what has a tag
    await cache.stats()                 hits, misses, ages

Values travel by their pydantic type, as text, and never as pickles.
"""

from redisom_lite.cache.cache import Cache
from redisom_lite.cache.cached import Cached
from redisom_lite.cache.statistics import CacheStats

__all__ = ["Cache", "CacheStats", "Cached"]
