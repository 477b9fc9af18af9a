"""What a project did, minute by minute and hour by hour: the rows, and how several become one. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field, structs

MINUTE, HOUR = 60, 3_600  # widths of rows, in seconds
TOP_HOSTS = 20  # of a row; what the others have is together under OTHERS
OTHERS = ""


class MetricRow(Struct):
    """What ended in one minute or hour of one project. Tries that are made again count as ``retried``."""

    project: str
    width: int  # seconds: MINUTE or HOUR, or what was asked for
    start: int  # Unix time, a multiple of width
    done: int = 0
    failed: int = 0  # for good
    retried: int = 0
    fetch_time: float = 0.0  # seconds, of all of them together
    process_time: float = 0.0  # likewise
    size: int = 0  # bytes of bodies
    codes: dict[str, int] = field(default_factory=dict)  # HTTP status, "0": no answer -> tries
    reasons: dict[str, int] = field(default_factory=dict)  # why tries failed -> how many
    hosts: dict[str, tuple[int, int]] = field(default_factory=dict)  # host -> (bytes, tries)

    def copy(self) -> MetricRow:
        """A row of its own."""
        return structs.replace(self, codes=dict(self.codes), reasons=dict(self.reasons), hosts=dict(self.hosts))

    def add(self, other: MetricRow) -> None:
        """Takes in what another row counted."""
        self.done += other.done
        self.failed += other.failed
        self.retried += other.retried
        self.fetch_time += other.fetch_time
        self.process_time += other.process_time
        self.size += other.size
        for name, n in other.codes.items():
            self.codes[name] = self.codes.get(name, 0) + n
        for name, n in other.reasons.items():
            self.reasons[name] = self.reasons.get(name, 0) + n
        for name, (size, tries) in other.hosts.items():
            known = self.hosts.get(name, (0, 0))
            self.hosts[name] = (known[0] + size, known[1] + tries)


def top_hosts(hosts: dict[str, tuple[int, int]], limit: int = TOP_HOSTS) -> dict[str, tuple[int, int]]:
    """Those with the most bytes, and the rest together under :data:`OTHERS`."""
    named = sorted((-size, -tries, name) for name, (size, tries) in hosts.items() if name != OTHERS)
    kept = {name: hosts[name] for _, _, name in named[:limit]}
    rest = [hosts[name] for _, _, name in named[limit:]] + ([hosts[OTHERS]] if OTHERS in hosts else [])
    if rest:
        kept[OTHERS] = (sum(size for size, _ in rest), sum(tries for _, tries in rest))
    return kept


def in_steps(rows: Iterable[MetricRow], step: int) -> list[MetricRow]:
    """Rows of one project, in order of time, put together into rows of ``step`` seconds. Empty ones are left out."""
    found: dict[int, MetricRow] = {}
    for row in rows:
        start = row.start - row.start % step
        sum_ = found.get(start)
        if sum_ is None:
            sum_ = found[start] = MetricRow(row.project, step, start)
        sum_.add(row)
    for sum_ in found.values():
        sum_.hosts = top_hosts(sum_.hosts)
    return [found[start] for start in sorted(found)]


def width_for(step: int) -> int:
    """The width of the stored rows that rows of ``step`` seconds are made of; ``ValueError`` when there is none."""
    if step <= 0 or step % MINUTE or (step > HOUR and step % HOUR):
        raise ValueError(f"step {step}: use a multiple of {MINUTE} seconds, over an hour one of {HOUR}")
    return HOUR if step % HOUR == 0 else MINUTE
