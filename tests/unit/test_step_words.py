"""A step tells the script as many words as it holds, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from redisom_lite.engine.step import Change, Step, kept, recalled
from redisom_lite.schema import mutations
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.mutations import Mutation
from redisom_lite.words import Words, packed
from tests.unit.models import Product

SCHEMA = Product.__redisom_schema__
KEYSPACE = Keyspace(SCHEMA, "")
OTHER = Keyspace(SCHEMA, "other")
KEPT = b"[3:=1:O[3:=2:17#1:1[1:=1:x[0:"
ODD = b"[3:=1:O[2:#2:-1=3:[\xff:[0:"


def kinds() -> dict[str, Mutation]:
    product = Product(sku="a", name="n%", category="c", tags={"x", "y"}, price=Decimal(1), ean="1")
    values = product.__dict__
    put, row = mutations.put(SCHEMA, values, only_if_absent=True, lifetime=b"=5")
    member, specs = put.member, SCHEMA.fields[1:]
    change = mutations.change(SCHEMA, member, specs, values, version=3, guard=[b"2", b"E", b"f"])
    stock = SCHEMA.by_name["stock"]
    step = mutations.Step(stock, b"i", b"1", b"0", ((b"ge", b"0"), (b"le", b"9")))
    return {
        "put": put,
        "set": change,
        "swap": mutations.swap(stock, None, change),
        "inc": mutations.increase(member, [step, step]),
        "del": mutations.remove(member, version=1),
        "life": mutations.live(b"b", b"+5"),
        "look": mutations.look(b"b", KEYSPACE.tags, (b"ean", b"1")),
        "mend": mutations.mend(SCHEMA, b"c", values, row, ["blurb"]),
    }


def words_of(step: Step, acknowledged: Sequence[bytes] = ()) -> list[bytes]:
    args = step.args(b"12", b"ab:", packed(b"60"), [packed(word) for word in acknowledged])
    words = list(args)
    assert len(words) == len(args)
    return words


@pytest.mark.parametrize("kind", kinds())
def test_step_of_one_mutation_says_what_one_of_a_larger_step_does_and_no_numbers(kind: str) -> None:
    mutation = kinds()[kind]
    alone = words_of(Step([(KEYSPACE, mutation)]), [b"ab:"])
    both = words_of(Step([(KEYSPACE, mutation), (KEYSPACE, mutation)]), [b"ab:"])
    (declaration,) = Words(1, [KEYSPACE.declarations[0]])
    assert alone[:3] == both[:3]
    model = [declaration, b"16"]
    words = list(mutation.args)
    assert alone[3:] == [b"one", b"1", b"ab:", *model, mutation.member, mutation.name, *words]
    told = [mutation.name, b"1", b"1", *words]
    assert both[3:] == [b"all", b"1", b"ab:", b"1", b"1", *model, mutation.member, b"2", *told, *told]


def test_step_of_several_models_counts_records_within_each() -> None:
    every = list(kinds().values())
    changes: list[Change] = [(keyspace, mutation) for keyspace in (KEYSPACE, OTHER) for mutation in every]
    step = Step(changes, each=True)
    assert step.models == [(KEYSPACE, 0), (OTHER, 0)]
    assert step.keys == [
        keyspace.record_key(member) for keyspace in (KEYSPACE, OTHER) for member in (b"a", b"b", b"c")
    ]
    assert words_of(step)[-3 - len(every[-1].args) :][:3] == [b"mend", b"2", b"3"]


def test_step_without_mutations_names_the_partition_to_sweep() -> None:
    step = Step((), sweep=3299, also=(KEYSPACE, 0))
    assert (step.models, step.keys) == ([(KEYSPACE, 0)], [])
    assert words_of(step)[5:9] == [b"1", b"0", *Words(1, [KEYSPACE.declarations[0]]), b"3299"]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (b"", [b"O"]),
        (KEPT, [b"O", [b"17", 1, [b"x"]], [], KEPT]),
        (ODD, [b"O", [-1, b"[\xff:"], [], ODD]),
    ],
)
def test_reply_that_was_kept_is_recalled(text: bytes, reply: list[object]) -> None:
    assert recalled(text) == reply
    assert kept(reply) == text
