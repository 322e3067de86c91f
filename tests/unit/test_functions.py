"""Which form a call is sent in: a function where the server keeps it, a script elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redisom_lite.engine import failure
from redisom_lite.engine.functions import Functions
from redisom_lite.engine.scripts import Script, from_text, load
from redisom_lite.errors import RedisomError

PLAIN = from_text("plain", b"return 1\n")
KEPT = from_text("kept", b"--@function no-writes\nlocal function main(keys, args)\n  return #args\nend\n")
AS_SCRIPT = (b"EVALSHA", KEPT.sha)
AS_FUNCTION = (b"FCALL", KEPT.function.name if KEPT.function else b"")
WORDS = (1, b"k", b"v")


def known(*replies: Any) -> Functions:
    """What is known after an offer that got these replies."""
    functions = Functions(offers=True)
    assert functions.offer(KEPT)
    functions.note(KEPT, list(replies))
    return functions


def test_script_without_main_is_never_offered() -> None:
    functions = Functions(offers=True)
    assert functions.offer(PLAIN) is None
    assert functions.head(PLAIN) == (b"EVALSHA", PLAIN.sha)


def test_function_is_offered_once_with_its_library() -> None:
    functions = Functions(offers=True)
    offer = functions.offer(KEPT)
    assert offer is not None
    assert offer.command[:2] == (b"FUNCTION", b"LOAD")
    assert offer.head == AS_FUNCTION
    assert functions.offer(KEPT) is None
    assert functions.head(KEPT) == AS_SCRIPT


def test_function_is_not_offered_where_there_are_none() -> None:
    assert Functions(offers=False).offer(KEPT) is None


@pytest.mark.parametrize(
    "replies",
    [
        [b"name"],
        [failure.from_reply("ERR Library 'x' already exists")],
        [b"name", failure.from_reply("Library 'x' already exists")],
    ],
)
def test_function_that_every_server_took_is_called(replies: list[Any]) -> None:
    assert known(*replies).head(KEPT) == AS_FUNCTION


@pytest.mark.parametrize(
    "refusal", ["ERR unknown command 'FUNCTION', with args", "NOPERM x", "OOM x", "READONLY x"]
)
def test_function_that_a_server_refused_is_a_script_for_good(refusal: str) -> None:
    functions = known(b"name", failure.from_reply(refusal))
    assert functions.head(KEPT) == AS_SCRIPT
    assert functions.offer(KEPT) is None


@pytest.mark.parametrize(
    "failed",
    [
        failure.lost("there", "none", None),
        [failure.timed_out("there", "none")],
        asyncio.CancelledError(),
        [failure.from_reply("LOADING x"), failure.from_reply("BUSY x")],
    ],
)
def test_offer_that_did_not_arrive_is_made_again(failed: Any) -> None:
    functions = Functions(offers=True)
    functions.offer(KEPT)
    functions.note(KEPT, failed)
    assert functions.offer(KEPT) is not None


def test_offer_that_may_have_broken_the_connection_is_not_made_again() -> None:
    functions = Functions(offers=True)
    functions.offer(KEPT)
    functions.note(KEPT, failure.lost("there", "unknown", None))
    assert functions.offer(KEPT) is None


@pytest.mark.parametrize(
    "text", ["ERR unknown command `FCALL`, with args", "ERR unknown command 'FCALL', with args"]
)
def test_server_without_functions_runs_scripts_and_is_not_asked_again(text: str) -> None:
    functions = known(failure.from_reply("ERR unknown command `FUNCTION`, with args"))
    again = functions.other_form(KEPT, (*AS_FUNCTION, *WORDS), refusal_of(text))
    assert again == (*AS_SCRIPT, *WORDS)
    assert functions.offer(KEPT) is None
    assert functions.head(KEPT) == AS_SCRIPT


def refusal_of(text: str) -> RedisomError:
    return failure.from_reply(text)


def test_function_that_is_gone_runs_as_a_script_and_is_offered_anew() -> None:
    functions = known(b"name")
    again = functions.other_form(KEPT, (*AS_FUNCTION, *WORDS), refusal_of("ERR Function not found"))
    assert again == (*AS_SCRIPT, *WORDS)
    assert functions.head(KEPT) == AS_SCRIPT
    assert functions.offer(KEPT) is not None


@pytest.mark.parametrize("text", ["NOPERM x", "ERR unknown command 'FCALL', with args beginning with: 'a'"])
def test_function_that_may_not_be_called_is_a_script_from_then_on(text: str) -> None:
    functions = known(b"name")
    assert functions.other_form(KEPT, (*AS_FUNCTION, *WORDS), refusal_of(text)) == (*AS_SCRIPT, *WORDS)
    assert functions.head(KEPT) == AS_SCRIPT


def test_function_refused_by_a_full_server_is_a_script_this_once() -> None:
    functions = known(b"name")
    assert functions.other_form(KEPT, (*AS_FUNCTION, *WORDS), refusal_of("OOM x")) == (*AS_SCRIPT, *WORDS)
    assert functions.head(KEPT) == AS_FUNCTION


def test_script_that_is_not_there_sends_its_text() -> None:
    again = Functions(offers=True).other_form(KEPT, (*AS_SCRIPT, *WORDS), refusal_of("NOSCRIPT x"))
    assert again == (b"EVAL", KEPT.text, *WORDS)


@pytest.mark.parametrize("head", [AS_SCRIPT, AS_FUNCTION])
def test_other_failures_are_no_matter_of_form(head: tuple[bytes, bytes]) -> None:
    assert known(b"name").other_form(KEPT, (*head, *WORDS), refusal_of("WRONGTYPE x")) is None


@pytest.mark.parametrize("name", ["apply", "find", "digest"])
def test_name_of_a_function_changes_with_its_text(name: str) -> None:
    script = load(name)
    other = from_text(name, b"--@function\nlocal function main() end\n")
    assert script.function is not None
    assert other.function is not None
    assert script.function.name.startswith(b"redisom_lite_%b_" % name.encode())
    assert script.function.name != other.function.name
    assert script.function.name in script.function.library


def flags_of(script: Script) -> bool:
    return script.function is not None and b"'no-writes'" in script.function.library


def test_reading_functions_say_that_they_do_not_write() -> None:
    assert [flags_of(load(name)) for name in ("find", "digest", "apply")] == [True, True, False]
