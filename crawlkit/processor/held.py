"""A task in the processor's hands, from its delivery to its acknowledgement.

Pure data.
"""

from __future__ import annotations

from dataclasses import dataclass

from crawlkit.libs.errors import BadMessage
from crawlkit.libs.messages import DispatchHead, Fetched, OutcomeHead, decode

HeldKey = tuple[str, str, int, int, int]  # project, taskid, run, attempt, kind


@dataclass(slots=True, eq=False)
class Held:
    """One delivered message and how far it has come."""

    deliveries: tuple[int, ...]  # ids for ack; several when the queue delivered it again
    body: bytes  # the Fetched message, untouched
    head: DispatchHead
    key: HeldKey  # what makes two deliveries the same attempt
    script: bytes = b""  # its text, found before a worker gets the task
    parts: int = 0  # of its outcome, received so far
    by_result_queue: bool = False  # the way of all its parts: on two ways the last could overtake the others
    moves: int = 0  # workers that died or went with this task waiting in them
    given: float = 0.0  # monotonic time when a worker got it
    blob: str | None = None  # its body in the blob store, known once a worker asked for it


def blobs_of(body: bytes) -> frozenset[str]:
    """What a worker with this Fetched message may read from the blob store: its task's body and records."""
    fetched: Fetched = decode(body, Fetched)
    return frozenset(blob for blob in (fetched.blob, *(blob for _, blob in fetched.recorded)) if blob)


def key_of(head: DispatchHead) -> HeldKey:
    """What makes two deliveries the same attempt."""
    return (head.project, head.taskid, head.run, head.attempt, head.kind)


def is_of(held: Held, payload: bytes) -> bool:
    """Whether the outcome that came from a worker is of the task that the worker was given, and goes where it shall."""
    try:
        found: OutcomeHead = decode(payload, OutcomeHead)
    except BadMessage:
        return False
    whose = (found.project, found.taskid, found.run, found.attempt)
    return whose == held.key[:4] and found.partition == held.head.partition
