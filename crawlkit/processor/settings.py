"""What can be set about the processor. Plain values with their defaults and units; nothing is read from anywhere.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crawlkit.libs.load import NO_LIMITS, Limits

MIB = 2**20


@dataclass(frozen=True)
class ProcessorSettings:
    """Limits of the processor and its workers. Durations are seconds, sizes bytes; 0 means what is said beside it."""

    workers: int = 0  # worker processes in all; 0: twice the CPUs, at least 4
    per_project: int = 0  # worker processes of one project; 0: as many as CPUs
    process_time_limit: float = 30.0  # of one callback's own running time; a task may say another
    kill_after: float = 1.0  # from the time limit to SIGKILL
    nice_after: float = 1.0  # own running time after which a callback gets less of the CPU
    memory_limit: int = 1024 * MIB  # address space of a worker above what it has at its start; 0: no limit
    max_follows: int = 10_000_000  # follow-ups of one callback
    max_processes: int = 64  # processes one callback may start
    worker_tasks: int = 50_000  # tasks after which a worker is replaced
    worker_age: float = 3_600.0  # seconds after which a worker is replaced
    worker_rss: int = 768 * MIB  # resident memory over which an idle worker is replaced
    worker_idle: float = 300.0  # seconds without a task after which a worker goes
    held_messages: int = 1_000  # messages in hand, waiting ones included
    held_bytes: int = 64 * MIB
    out_messages: int = 500  # outcomes that wait for the next queue before workers are stopped
    out_bytes: int = 8 * MIB
    take: int = 100  # messages taken from the queue at once
    depth: int = 64  # tasks given to one worker in advance
    depth_bytes: int = MIB
    heartbeat: float = 2.0  # seconds between heartbeats
    limits: Limits = NO_LIMITS  # of the processor and its workers; over one of them it takes no more work
    keep_pages: int = 0  # the last fetched pages of each callback that are kept, for trying changed scripts; 0: none
    stop_within: float = 4.0  # seconds that running callbacks get at a stop
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the workers' clean environment
