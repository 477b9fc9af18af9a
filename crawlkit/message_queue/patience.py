"""How long to wait before a broker that did not answer is asked again. Pure."""

from __future__ import annotations

PAUSES = (0.1, 0.2, 0.5, 1.0)  # seconds: what was only a hiccup costs little


def pause_after(misses: int) -> float:
    """Seconds after the ``misses``-th failure in a row."""
    return PAUSES[min(misses, len(PAUSES)) - 1]
