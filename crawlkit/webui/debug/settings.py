"""The debugger's limits, with their defaults and units. Plain data, filled in by wiring."""

from __future__ import annotations

from dataclasses import dataclass, field

from crawlkit.processor.settings import ProcessorSettings

MIB = 2**20


def _gentle() -> ProcessorSettings:
    return ProcessorSettings(memory_limit=512 * MIB)


@dataclass(frozen=True)
class DebugSettings:
    """Durations are seconds, sizes bytes; 0 means what is said beside it."""

    processes: int = 0  # debug processes at once; 0: twice the CPUs
    waiting_per_user: int = 10  # runs of one user that wait or run
    runs_per_user: int = 100  # answers that are kept
    runs_age: float = 900.0
    runs_bytes: int = 16 * MIB  # of all answers kept, compressed
    pages_per_user: int = 50
    pages_bytes_per_user: int = 32 * MIB  # compressed
    pages_bytes: int = 64 * MIB  # compressed, of all users
    pages_age: float = 3600.0
    max_results: int = 1_000
    max_follows: int = 1_000
    max_messages: int = 1_000
    max_result_bytes: int = 4 * MIB
    max_logs: int = 100_000  # characters
    max_text: int = 1_000_000  # characters of a page in an answer
    max_attachment: int = 4 * MIB  # bytes of a screenshot or a pdf that is shown
    max_data_url: int = MIB
    max_awaits: int = 200  # requests of one run's self.fetch
    max_download: int = 64 * MIB
    longest: float = 900.0  # a whole run, its waiting for the network included
    sessions_per_user: int = 100
    worker: ProcessorSettings = field(default_factory=_gentle)
