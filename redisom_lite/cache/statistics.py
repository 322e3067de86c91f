"""What a cache counts: how often it answered, how often it had to load, how old its answers were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the first use of a cache, of all processes.

    A call is a hit (answered by a fresh entry), a miss (there was none: loaded, or waited for someone who loaded) or
    stale (the loader failed, an older answer stood in). `early` counts hits that loaded anew before the end of a
    lifetime, `loads` the runs of loaders, `errors` those that raised, `bypassed` calls while the server was away.
    """

    hits: int = 0
    misses: int = 0
    stale: int = 0
    early: int = 0
    loads: int = 0
    errors: int = 0
    bypassed: int = 0
    mean_age: timedelta = timedelta(0)
    """How old the answers of hits were, on average."""
    mean_load: timedelta = timedelta(0)
    """How long a load took, on average."""

    @property
    def hit_rate(self) -> float:
        """The share of calls that were hits, from 0 to 1; 0 without calls."""
        calls = self.hits + self.misses + self.stale
        return self.hits / calls if calls else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The numbers under their names, times in seconds."""
        return {
            "hits": self.hits,
            "misses": self.misses,
            "stale": self.stale,
            "early": self.early,
            "loads": self.loads,
            "errors": self.errors,
            "bypassed": self.bypassed,
            "hit_rate": self.hit_rate,
            "mean_age": self.mean_age.total_seconds(),
            "mean_load": self.mean_load.total_seconds(),
        }


class Counts:
    """What this process has counted and the server not yet heard of."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()

    def add(self, name: str, n: int = 1) -> None:
        self._waiting[name] += n

    def take(self) -> dict[bytes, int]:
        """All of it, to be told to the server; given back with `put_back` when that fails."""
        taken, self._waiting = self._waiting, Counter()
        return {name.encode(): n for name, n in taken.items() if n}

    def put_back(self, counts: Mapping[bytes, int]) -> None:
        for name, n in counts.items():
            self._waiting[name.decode()] += n


def stats_of(counts: Mapping[bytes, int]) -> CacheStats:
    """The statistics that the server's counts amount to."""

    def n(name: str) -> int:
        return counts.get(name.encode(), 0)

    names = ("hits", "misses", "stale", "early", "loads", "errors", "bypassed")
    return CacheStats(
        **{name: n(name) for name in names},
        mean_age=timedelta(milliseconds=n("age") / max(1, n("hits"))),
        mean_load=timedelta(milliseconds=n("load_ms") / max(1, n("loads"))),
    )
