"""What can be set about scheduling, with its defaults. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crawlkit.libs.host_limits import HostLimits
from crawlkit.scheduler.retry import DEFAULT_DELAYS


@dataclass
class EngineSettings:
    """Limits and delays of the scheduler. Times in seconds."""

    window: int = 100_000  # rows kept in memory, all projects together
    refill: int = 2_000  # rows read from the store at a time
    known: int = 200_000  # taskids remembered to answer "known" without a query
    lease: float = 30.0  # a lease nobody renews ends after this, when no queue holds messages
    lease_max: float = 600.0  # ... and after this in any case [S24]
    max_lost: int = 10  # leases of one run that may end without an answer
    max_leased: int = 900  # tasks out; a project may have half of what the others leave of it
    info_retry: float = 30.0  # asks a handler again for its settings when no answer came
    node_timeout: float = 10.0  # silence after which a node is dead; heartbeats come every 2 s
    retry_delays: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_DELAYS))
    inqueue_limit: int = 0  # waiting tasks per project; 0: none [S15]
    fail_pause_num: int = 10  # [S08]; 0: never
    pause_time: float = 300.0
    unpause_check_num: int = 3
    delete_time: float = 86_400.0  # [S09]
    project_poll: float = 5.0
    active_tasks: int = 100  # recent tasks remembered per project [S67]
    host_limits: HostLimits = field(default_factory=HostLimits)  # where no project says otherwise
    hold_first: float = 1.0  # after a 429 or 503 without Retry-After; twice as long each time
    hold_max: float = 3_600.0  # a host may not hold us off for longer
    max_pages: int | None = None  # stop sending after so many tasks
    partitions: int = 1
    keep_tasks: float | None = None  # seconds; finished ones, where their project says nothing; None: for ever
    keep_attempts: float = 7 * 86_400.0
    keep_ticks: float = 7 * 86_400.0
    keep_nodes: float = 7 * 86_400.0  # seconds since a process that is gone was seen
    keep_blobs: float = 7 * 86_400.0  # bodies that a crash left behind
