"""What is done about a callback, by its own time."""

from __future__ import annotations

import pytest

from crawlkit.processor.settings import ProcessorSettings
from crawlkit.processor.watch import STUCK_AFTER, Look, Order, judge

SETTINGS = ProcessorSettings(process_time_limit=30, kill_after=1, nice_after=1)
CALM = Look(spent=0.01, time_limit=0, tasks=3, still=0.01, nice=False, reading=True)


@pytest.mark.parametrize(
    ("look", "orders"),
    [
        (CALM, Order.NOTHING),
        (CALM._replace(spent=0.3), Order.TAKE_BACK),
        (CALM._replace(spent=0.3, tasks=1), Order.NOTHING),
        (CALM._replace(spent=1.1), Order.MAKE_NICER | Order.TAKE_BACK),
        (CALM._replace(spent=1.1, nice=True), Order.TAKE_BACK),
        (CALM._replace(spent=29.0, nice=True, tasks=1), Order.NOTHING),
        (CALM._replace(spent=30.6, nice=True, tasks=1), Order.ASK_WHERE),
        (CALM._replace(spent=31.1, nice=True), Order.ASK_WHERE | Order.KILL),
        (CALM._replace(spent=31.1, nice=True, time_limit=60, tasks=1), Order.NOTHING),
        (CALM._replace(spent=3.1, nice=True, time_limit=2, tasks=1), Order.ASK_WHERE | Order.KILL),
        (CALM._replace(spent=0, still=STUCK_AFTER + 1), Order.KILL_STUCK),
        (CALM._replace(spent=0, still=STUCK_AFTER + 1, reading=False), Order.NOTHING),
        (CALM._replace(spent=0, still=1), Order.NOTHING),
    ],
)
def test_orders(look: Look, orders: Order) -> None:
    assert judge(look, SETTINGS) == orders
