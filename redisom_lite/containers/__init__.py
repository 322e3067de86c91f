"""Typed structures over what Redis has besides records: counters, hashes, lists, sets, sorted sets, text.

Each is found by a name in a database and holds what its brackets say: `Leaderboard[str](db, "weekly", ttl="7d")`. What
they have in common (keys, lifetimes, how often a write takes effect) stands in `structure.py`. As a part of a model's
records (`items = Part(HashMap[str, int])`) it lives and dies with each record.
"""

from redisom_lite.containers.counter import Counter, WindowCounter
from redisom_lite.containers.hash_map import HashMap
from redisom_lite.containers.list_queue import Job, ListQueue
from redisom_lite.containers.set_of import SetOf
from redisom_lite.containers.sorted_set import Leaderboard, SortedSet
from redisom_lite.containers.text import Text
from redisom_lite.part import Part

__all__ = [
    "Counter",
    "HashMap",
    "Job",
    "Leaderboard",
    "ListQueue",
    "Part",
    "SetOf",
    "SortedSet",
    "Text",
    "WindowCounter",
]
