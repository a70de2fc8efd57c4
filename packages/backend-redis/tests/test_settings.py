"""What a URL says, and what is wrong with it."""

from __future__ import annotations

import pytest

from perdure.errors import CreateStoreError
from perdure_redis._settings import Settings


@pytest.mark.parametrize(
    ("url", "kind", "addresses", "tls"),
    [
        ("redis://localhost", "standalone", (("localhost", 6379),), False),
        ("redis://localhost:7000/3", "standalone", (("localhost", 7000),), False),
        ("redis://[::1]:7000", "standalone", (("::1", 7000),), False),
        ("rediss://h", "standalone", (("h", 6379),), True),
        ("redis+cluster://a:1,b", "cluster", (("a", 1), ("b", 6379)), False),
        ("rediss+cluster://a", "cluster", (("a", 6379),), True),
        ("redis+sentinel://a,b:2/main", "sentinel", (("a", 26379), ("b", 2)), False),
        ("rediss+sentinel://a/main/4", "sentinel", (("a", 26379),), True),
    ],
)
def test_a_url_names_servers(url: str, kind: str, addresses: object, tls: bool) -> None:
    """The scheme says what the hosts are, and whether to them goes TLS; ports have defaults."""
    settings = Settings.of_url(url)

    assert (settings.kind, settings.addresses, settings.tls) == (kind, addresses, tls)


def test_a_path_names_a_service_and_a_database() -> None:
    """The path is a number, and behind Sentinels the name of a service, with a number if it is not 0."""
    assert Settings.of_url("redis://h/3").database == 3
    assert Settings.of_url("redis+sentinel://h/main").service == "main"
    assert Settings.of_url("redis+sentinel://h/main/4").database == 4


@pytest.mark.parametrize(
    ("credentials", "username", "password"),
    [
        ("", None, None),
        ("user:pass@", "user", "pass"),
        (":pass@", None, "pass"),
        ("user@", "user", None),
        ("user:p%40ss%3A%2F@", "user", "p@ss:/"),
        ("user:p@ss@", "user", "p@ss"),
        ("us%C3%A9r:p#ss@", "usér", "p#ss"),
    ],
)
def test_credentials_stand_before_the_hosts(credentials: str, username: str | None, password: str | None) -> None:
    """User and password are what stands before the last @, with escapes; they are never shown."""
    if "#" in credentials:
        with pytest.raises(CreateStoreError, match="write for example"):
            Settings.of_url(f"redis://{credentials}host")
        return
    settings = Settings.of_url(f"redis://{credentials}host")

    assert (settings.username, settings.password, settings.addresses) == (username, password, (("host", 6379),))
    assert settings.shown == f"redis://{'***@' if credentials else ''}host"


def test_options_have_defaults() -> None:
    """Without options a call may take ten seconds, and the server's settings alone make a commit durable."""
    settings = Settings.of_url("redis://h")

    assert (settings.namespace, settings.timeout, settings.slices) == ("perdure", 10.0, None)
    assert (settings.replicas, settings.sync, settings.check) == (None, "server", True)


def test_options_are_read() -> None:
    """Options of the URL are read as what they are."""
    settings = Settings.of_url("redis://h?namespace=a.b&timeout=0.5&slices=4&replicas=2&sync=aof&check=no")

    assert (settings.namespace, settings.timeout, settings.slices) == ("a.b", 0.5, 4)
    assert (settings.replicas, settings.sync, settings.check) == (2, "aof", False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://:6379", "names no host"),
        ("redis://h:port", "'h:port': "),
        ("redis://h:99999", "'h:99999': "),
        ("redis://a,b", "several hosts are for"),
        ("redis://h/main", "'main' is no number of a database"),
        ("redis://h/-1", "'-1' is no number"),
        ("redis://h#1", "has no '#'"),
        ("redis+cluster://h/1", "database 0 alone"),
        ("redis+cluster://a,,b", "names no host"),
        ("redis+sentinel://h", "names no service"),
        ("redis+sentinel://h/main/x", "'x' is no number"),
        ("redis://h?busy=1", "unknown option 'busy'"),
        ("redis://h?timeout=soon", "option timeout: could not convert"),
        ("redis://h?timeout=0", "option timeout: 0 is not from"),
        ("redis://h?timeout=nan", "option timeout: nan is not from"),
        ("redis://h?slices=0", "option slices: 0 is not from 1 to 1024"),
        ("redis://h?replicas=-1", "option replicas: -1 is not from 0 to 16"),
        ("redis://h?sync=sometimes", "'sometimes' is none of server, aof"),
        ("redis://h?check=maybe", "'maybe' is none of yes, no"),
        ("redis://h?namespace=a{b}", "option namespace: 'a{b}' is not"),
        ("redis://h?namespace=", "option namespace: '' is not"),
    ],
)
def test_a_mistake_in_a_url_is_named(url: str, reason: str) -> None:
    """A URL that cannot be is refused with the reason and an example of one that can."""
    with pytest.raises(CreateStoreError, match="write for example redis") as caught:
        Settings.of_url(url)

    assert reason in str(caught.value)


def test_a_mistake_in_a_url_shows_no_password() -> None:
    """Whatever is wrong, the password is not in the error."""
    with pytest.raises(CreateStoreError) as caught:
        Settings.of_url("redis://user:secret@h/main")

    assert "secret" not in str(caught.value)
