"""Accounts and what belongs to them: models that transactions and batches are tried on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from redisom_lite import Database, Field, Key, Manager, Meta, Model, Range, Tag, Unique, new_id
from tests import oracle


class Account(Model):
    meta = Meta(group="bank")

    id: Key[str]
    balance: Range[int] = Field(default=100)
    owner: Tag[str] = Field(default="ann")
    email: Unique[str | None] = Field(default=None)
    note: str = ""


class Transfer(Model):
    meta = Meta(group="bank")

    id: Key[str] = Field(default_factory=new_id)
    source: Tag[str]
    target: Tag[str]
    amount: Range[int]


class Contract(Model):
    meta = Meta(group="bank", versioned=True)

    id: Key[str]
    text: Range[str] = Field(default="")
    pages: int = 0


class Login(Model):
    objects = Manager(ttl="30m", sliding=True)
    meta = Meta(group="bank")

    token: Key[str]
    user: Tag[str] = Field(default="ann")


MODELS = (Account, Transfer, Contract, Login)


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncGenerator[Database]:
    """A database with these models; when the test ends, every index must say what the records do."""
    db = Database(url, **options)
    db.bind(*MODELS)
    async with db:
        yield db
        await oracle.check(db, *MODELS)


async def balances() -> dict[str, int]:
    return {account.id: account.balance for account in await Account.objects.find()}
