"""The record: one flight, with an index for each way it is looked for."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from redisom_lite import Composite, Field, Key, Meta, Model, Range, Tag

Airport = Literal["EWR", "JFK", "LGA"]


class Flight(Model):
    """A flight that left, or should have left, New York City."""

    meta = Meta(prefix="flight", indexes=[Composite("carrier", "scheduled")])

    id: Key[str]
    carrier: Tag[str] = Field(min_length=2, max_length=2)
    origin: Tag[Airport]
    dest: Tag[str]
    scheduled: Range[datetime]  # departure, UTC
    dep_delay: Range[int | None] = Field(default=None)  # minutes, negative when early; None: cancelled
    distance: Range[int] = Field(gt=0)  # miles
    tailnum: Range[str | None] = Field(default=None)  # text: ordered, and found by how it begins
    number: int  # stored, not indexed
    arr_delay: int | None = None
    air_time: int | None = None
