from __future__ import annotations

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.message_queue.local import LocalBroker
from crawlkit.message_queue.memory import MemoryBroker
from crawlkit.message_queue.registry import connect_broker


@pytest.mark.parametrize("url", ["memory://", "memory:///"])
def test_memory(url):
    broker = connect_broker(url, max_messages=7)
    assert isinstance(broker, MemoryBroker)
    assert broker.queue("q").room() == 7


def test_local(tmp_path):
    broker = connect_broker(f"local://{tmp_path}", name="scheduler")
    assert isinstance(broker, LocalBroker)
    assert (broker.where, broker.name) == (str(tmp_path), "scheduler")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("manager://host:1234", "there is no key"),
        ("amqp://guest:guest@localhost:5672/%2F?prefetch=3", "no option 'prefetch'"),
        ("kombu+nonsense://x", "kombu has no such transport"),
        ("beanstalk://x", "beanstalk:// is unknown"),
        ("nonsense", "write a URL"),
        ("", "write a URL"),
        ("local://", "local://PATH"),
    ],
)
def test_the_others_are_refused_in_words(url, words):
    with pytest.raises(UsageError, match=words):
        connect_broker(url)


def test_passwords_are_not_repeated():
    with pytest.raises(UsageError) as error:
        connect_broker("amqp://me:secret@host:port/")
    assert "secret" not in str(error.value)
