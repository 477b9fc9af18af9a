from __future__ import annotations

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.message_queue.redis import RedisBroker
from crawlkit.message_queue.redis_url import parse_redis_url
from crawlkit.message_queue.registry import connect_broker


@pytest.mark.parametrize(  # R30: pyspider's forms, and redis-py's
    ("url", "hosts", "db", "user", "password"),
    [
        ("redis://localhost:6379/0", (("localhost", 6379),), 0, "", ""),
        ("redis://localhost/3", (("localhost", 6379),), 3, "", ""),
        ("redis://10.0.0.1", (("10.0.0.1", 6379),), 0, "", ""),
        ("redis://:p%40ss:word@db:7000/1", (("db", 7000),), 1, "", "p@ss:word"),
        ("redis://secret@db:7000/1", (("db", 7000),), 1, "", "secret"),
        ("redis://crawl:pw@db", (("db", 6379),), 0, "crawl", "pw"),
        ("redis://[::1]:7000/2", (("::1", 7000),), 2, "", ""),
        ("redis://h1:7001,h2:7002", (("h1", 7001), ("h2", 7002)), 0, "", ""),
        ("redis://db?db=4", (("db", 6379),), 4, "", ""),
    ],
)
def test_forms(url, hosts, db, user, password):
    parts = parse_redis_url(url)
    assert (parts.hosts, parts.db, parts.user, parts.password) == (hosts, db, user, password)
    assert (parts.tls, parts.prefix, parts.path) == (False, "crawlkit", "")


def test_a_socket_tls_and_a_prefix():
    assert parse_redis_url("redis+unix:///run/redis.sock?db=2&prefix=a").path == "/run/redis.sock"
    assert parse_redis_url("unix:///run/redis.sock?db=2").db == 2
    assert parse_redis_url("redis://db?prefix=shop.1").prefix == "shop.1"
    assert parse_redis_url("redis://db").ssl_context() is None
    checked = parse_redis_url("rediss://db").ssl_context()
    assert checked is not None
    assert checked.check_hostname
    unchecked = parse_redis_url("rediss://db?ssl_cert_reqs=none").ssl_context()
    assert unchecked is not None
    assert not unchecked.check_hostname


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://db:nan/0", "no HOST:PORT"),
        ("redis://db:99999/0", "no HOST:PORT"),
        ("redis://db/queues", "'queues' is no number"),
        ("redis://db?prefix=a{b}", "prefix"),
        ("redis://db?retries=3", "option 'retries' is unknown; known are prefix, db"),
        ("redis://db?ssl_ca_certs=/x", "write rediss://"),
        ("rediss://db?ssl_cert_reqs=maybe", "none or required"),
        ("rediss://db?ssl_ca_certs=/no/such/file", "/no/such/file: No such file"),
        ("redis+unix://redis.sock", "redis.sock"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_without_the_password(url, words):
    with pytest.raises(UsageError, match=words) as error:
        connect_broker(url.replace("://", "://:geheim@") if "unix" not in url else url)
    assert "geheim" not in str(error.value)


def test_the_registry_knows_them():
    broker = connect_broker("redis://:geheim@db:7000/1?prefix=x", max_messages=7, name="fetcher")
    assert isinstance(broker, RedisBroker)
    assert broker.where == "redis://db:7000/1"
    assert broker.queue("q").max_messages == 7
    assert isinstance(connect_broker("rediss://db"), RedisBroker)
    assert isinstance(connect_broker("redis+unix:///run/redis.sock"), RedisBroker)
