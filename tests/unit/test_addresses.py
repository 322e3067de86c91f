"""Database URLs: what they mean, what is refused, and that passwords stay out of sight."""

from __future__ import annotations

import traceback

import pytest

from redisom_lite.engine.address import Address, parse
from redisom_lite.errors import DeclarationError

GOOD = [
    ("redis://", Address("server", (("localhost", 6379),))),
    ("redis://h", Address("server", (("h", 6379),))),
    ("redis://h:7000/3", Address("server", (("h", 7000),), db=3)),
    ("redis://h/3?db=4", Address("server", (("h", 6379),), db=4, options=(("db", "4"),))),
    ("redis://[::1]:7000", Address("server", (("::1", 7000),))),
    ("rediss://h", Address("server", (("h", 6379),), tls=True)),
    ("redis://u:p@h", Address("server", (("h", 6379),), username="u", password="p")),
    ("redis://:p%40%3A@h", Address("server", (("h", 6379),), password="p@:")),
    ("unix:///run/r.sock", Address("socket", path="/run/r.sock")),
    ("unix://u:p@/r.sock?db=2", Address("socket", (), "/r.sock", "", False, 2, "u", "p", (("db", "2"),))),
    ("redis+sentinel://h1,h2:99/main", Address("sentinel", (("h1", 26379), ("h2", 99)), name="main")),
    (
        "redis+sentinel://u:p@h1:1,h2:2/main/5",
        Address("sentinel", (("h1", 1), ("h2", 2)), "", "main", False, 5, "u", "p"),
    ),
    ("rediss+sentinel://h/main", Address("sentinel", (("h", 26379),), name="main", tls=True)),
    ("redis+cluster://h1,h2:7001", Address("cluster", (("h1", 6379), ("h2", 7001)))),
    ("redis+cluster://[::1]:1,[::2]:2", Address("cluster", (("::1", 1), ("::2", 2)))),
    ("memory://", Address("memory")),
    ("memory://test", Address("memory", name="test")),
    ("memory://a/b", Address("memory", name="a/b")),
    ("embedded://", Address("embedded")),
    ("embedded:///var/lib/app/", Address("embedded", path="/var/lib/app")),
    ("embedded:///a%20b", Address("embedded", path="/a b")),
]


@pytest.mark.parametrize(("url", "address"), GOOD, ids=[url for url, _ in GOOD])
def test_url_of_every_kind_is_taken_apart(url: str, address: Address) -> None:
    assert parse(url) == address


BAD = [
    ("", "forms"),
    ("localhost:6379", "forms"),
    ("http://h", "forms"),
    ("redis:/h", "forms"),
    ("redis://h1,h2", "one host"),
    ("redis://h:0", "port"),
    ("redis://h:65536", "port"),
    ("redis://h:port", "port"),
    ("redis://h:1:2", "port"),
    ("redis://h h", "port"),
    ("redis://[::1", "malformed"),
    ("redis://h/one", "number"),
    ("redis://h/-1", "number"),
    ("redis://h?db=x", "number"),
    ("unix://relative.sock", "absolute"),
    ("unix://", "absolute"),
    ("redis+sentinel://h", "service"),
    ("redis+sentinel://h//0", "service"),
    ("redis+cluster://h/1", "database 0"),
    ("embedded://folder", "absolute"),
    *((f"redis://h?max_connections={wrong}", "max_connections") for wrong in ("0", "-3", "x", "2.5")),
    *((f"redis://h?socket_timeout={wrong}", "socket_timeout") for wrong in ("0", "-1", "x", "inf", "nan")),
]


@pytest.mark.parametrize(("url", "word"), BAD, ids=[url or "empty" for url, _ in BAD])
def test_url_that_cannot_be_is_refused_with_the_reason(url: str, word: str) -> None:
    with pytest.raises(DeclarationError, match=word):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hunter2@h:port",
        "redis://u:hunter2@[::1",
        "redis://u:hunter2@h#x",
        "redis://u:hunter2#x@h",
        "redis://u:hunter2@h\u2100i",
        "http://u:hunter2@h",
        "redis+sentinel://u:hunter2@h",
        "unix://u:hunter2@relative",
    ],
)
def test_refusal_never_shows_the_password(url: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", [url for url, address in GOOD if address.password])
def test_address_shown_hides_credentials(url: str) -> None:
    address = parse(url)
    assert "@" not in f"{address} {address!r}"
    assert "password" not in repr(address)


@pytest.mark.parametrize("address", [address for _, address in GOOD], ids=[url for url, _ in GOOD])
def test_address_shown_parses_to_the_same_place(address: Address) -> None:
    again = parse(str(address))
    assert (again.kind, again.hosts, again.name) == (address.kind, address.hosts, address.name)
    assert (again.path, again.tls) == (address.path, address.tls)


def test_driver_url_keeps_credentials_and_options() -> None:
    address = parse("redis://u:p%40@h:7000/2?health_check_interval=5&max_connections=9")
    assert address.driver_url("max_connections") == "redis://u:p%40@h:7000?health_check_interval=5&db=2"


def test_driver_url_of_a_socket_keeps_its_path() -> None:
    assert parse("unix://:p@/a%20b.sock?db=1").driver_url() == "unix://:p@/a%20b.sock?db=1"


def test_option_given_twice_is_the_last() -> None:
    assert parse("redis://h?x=1&x=2").option("x") == "2"
