"""The limits of a node, over which it takes no more work: options of fetcher, processor and node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from crawlkit.cli.base import option

F = TypeVar("F", bound=Callable[..., Any])
NAMES = ("max_cpu", "max_memory", "max_bandwidth", "max_inflight")
ABOVE_0 = click.FloatRange(min=0, min_open=True)


def with_limits(function: F) -> F:
    """The options; what they say are the four :data:`NAMES`, None where nothing was said."""
    for decorate in (
        option("--max-inflight", type=ABOVE_0, metavar="MIB",
               help="Take no more work while there are more MiB in its hands."),
        option("--max-bandwidth", type=ABOVE_0, metavar="MIB/S",
               help="Take no more work while it moves more MiB a second, in and out."),
        option("--max-memory", metavar="MIB|PERCENT%",
               help="Take no more work while it uses more memory: MiB, or a part of the machine's, like 60%."),
        option("--max-cpu", type=ABOVE_0, metavar="PERCENT",
               help="Take no more work while it uses more CPU; 100 is one core."),
    ):  # fmt: skip
        function = decorate(function)
    return function
