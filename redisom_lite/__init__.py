"""redisom_lite: pydantic models stored as plain Redis hashes, found by range and tag through exact indexes."""

from redisom_lite.database import Database
from redisom_lite.fields import Field, Key, Range, Tag, Unique
from redisom_lite.ids import new_id
from redisom_lite.manager import Manager
from redisom_lite.meta import Composite, Meta
from redisom_lite.model import Model
from redisom_lite.paging import Page
from redisom_lite.plan.explain import Plan

__all__ = [
    "Composite",
    "Database",
    "Field",
    "Key",
    "Manager",
    "Meta",
    "Model",
    "Page",
    "Plan",
    "Range",
    "Tag",
    "Unique",
    "new_id",
]
