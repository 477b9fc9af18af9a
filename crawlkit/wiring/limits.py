"""The limits of a node, over which it takes no more work: what the options of fetcher and processor stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crawlkit.libs.errors import UsageError
from crawlkit.libs.load import MIB, Limits


def limits_of(options: Mapping[str, Any]) -> Limits:
    """What ``max_cpu``, ``max_memory``, ``max_bandwidth`` and ``max_inflight`` say. Raises :class:`UsageError`."""
    cpu, bandwidth, inflight = (options.get(name) for name in ("max_cpu", "max_bandwidth", "max_inflight"))
    return Limits(
        cpu=cpu,
        memory=_memory(str(options["max_memory"])) if options.get("max_memory") else None,
        bandwidth=None if bandwidth is None else bandwidth * MIB,
        inflight=None if inflight is None else int(inflight * MIB),
    )


def _memory(text: str) -> int:
    part = text.strip().endswith("%")
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        number = 0.0
    if not 0 < number < (101 if part else 2**40):
        raise UsageError(f"--max-memory {text!r}: use MiB, like 2048, or a part of the machine's memory, like 60%")
    if not part:
        return int(number * MIB)
    import psutil

    return int(psutil.virtual_memory().total * number / 100)
