from __future__ import annotations

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.message_queue.amqp_url import read_address


@pytest.mark.parametrize(
    ("url", "hosts", "user", "password", "vhost"),
    [
        ("amqp://guest:guest@localhost:5672/%2F", (("localhost", 5672),), "guest", "guest", "/"),  # pyspider's
        ("amqp://guest:guest@localhost:5672/%2f", (("localhost", 5672),), "guest", "guest", "/"),
        ("amqp://localhost", (("localhost", 5672),), "guest", "guest", "/"),
        ("amqp://localhost/", (("localhost", 5672),), "guest", "guest", "/"),
        ("amqp://localhost//", (("localhost", 5672),), "guest", "guest", "/"),  # kombu's
        ("amqp://me:p%40ss%2F@host/crawl", (("host", 5672),), "me", "p@ss/", "crawl"),
        ("amqp://me:a@b@host/x%2Fy", (("host", 5672),), "me", "a@b", "x/y"),
        ("amqps://me:x@h1,h2:5673/v", (("h1", 5671), ("h2", 5673)), "me", "x", "v"),
        ("amqp://me:x@[::1]:5673/v", (("::1", 5673),), "me", "x", "v"),
    ],
)
def test_forms(url, hosts, user, password, vhost):  # R30
    address = read_address(url)
    assert (address.hosts, address.user, address.password, address.vhost) == (hosts, user, password, vhost)
    assert address.tls == url.startswith("amqps")
    assert address.prefix == "crawlkit"


def test_options():
    address = read_address("amqp://h/v?prefix=two&heartbeat=30&queue_type=classic")
    assert (address.prefix, address.heartbeat, address.queue_type) == ("two", 30, "classic")
    tls = read_address("amqps://h/?cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem&verify=verify_none")
    assert (tls.cacertfile, tls.certfile, tls.keyfile, tls.verify) == ("/ca.pem", "/c.pem", "/k.pem", False)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("amqp://", "USER:PASSWORD@HOST"),
        ("amqp://me:secret@", "USER:PASSWORD@HOST"),
        ("amqp://me:secret@host:port/", "USER:PASSWORD@HOST"),
        ("amqp://me:secret@host/?heartbeat=0", "1 to 3600"),
        ("amqp://me:secret@host/?queue_type=best", "quorum or classic"),
        ("amqp://me:secret@host/?verify=maybe", "verify_peer"),
        ("amqp://me:secret@host/?prefix=a/b", "prefix"),
        ("amqp://me:secret@host/?nothing=1", "no option 'nothing'"),
    ],
)
def test_what_is_wrong_is_named_and_no_password_repeated(url, words):
    with pytest.raises(UsageError, match=words) as error:
        read_address(url)
    assert "secret" not in str(error.value)


def test_shown_without_the_password():
    assert read_address("amqps://me:secret@h1,h2:1/a%2Fb").shown == "amqps://me@h1:5671,h2:1/a%2Fb"
