"""Who may be asked now: rate, requests under way, and holds of every host, for all projects and fetchers together.

Pure: ``mono`` is the caller's clock in seconds and never goes back. A host of which nothing is known may be asked; one
that is at rest (nothing under way or owed, not held) is forgotten, so memory follows the work and not the web.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from crawlkit.libs import host_limits
from crawlkit.libs.host_limits import NOTHING, HostLimits, Limits
from crawlkit.scheduler.autothrottle import Answer, Throttle
from crawlkit.scheduler.token_bucket import TokenBucket

CONCURRENCY: Final = 16.0  # requests under way where nobody said otherwise; not for loopback hosts
LINGER = 60.0  # seconds for which the limits of a project hold for a host after its last request there
KEPT = 4_000  # hosts that may be at rest: they may be asked again in a moment
SWEEP = 20  # hosts that are looked at each time for being at rest, while there are more
LOOK = 2_000  # hosts that are looked at for people
REST = 600.0  # seconds for which is kept what was found out about a host that nobody asks
CLOSE = 1e-4  # seconds
MOST = 50_000  # hosts of which something is kept, be it a hold, although nobody asks them or waits for them
SLOW_DOWN = frozenset({429, 503})


class Block(NamedTuple):
    """Why a host may not be asked now."""

    why: str  # rate, concurrency, retry_after, refused, crawl_delay, autothrottle
    seconds: float  # until it may be asked; infinite: when something that is under way has ended
    text: str  # the same for people


class Hold(Struct, array_like=True):
    """A host that asked to be left alone."""

    until: float  # monotonic
    since: float  # monotonic; when the refusal that began it came
    status: int
    told: bool  # it said for how long
    refusals: int  # in a row; 0: it has answered well since


class _Host:
    """What is known of one host that is not at rest."""

    __slots__ = ("asked", "bucket", "by", "check", "due", "hold", "limits", "out", "throttle", "version", "waited_for")

    def __init__(self, mono: float) -> None:
        self.out = 0  # requests under way
        self.by: dict[str, float] = {}  # project -> when it asked last
        self.limits = NOTHING  # what holds for it now
        self.bucket: TokenBucket | None = None
        self.throttle: Throttle | None = None
        self.hold: Hold | None = None
        self.waited_for = False  # somebody was told to wait
        self.due = math.inf  # when it becomes free by time, as far as the heap knows
        self.asked = mono
        self.version = -1  # of the limits that were looked at
        self.check = math.inf  # when they are to be looked at again


class HostGate:
    """``defaults``: the limits of the config file, for what no project says.

    ``concurrency``: the most requests under way to a host of which nobody says anything, unless it is a loopback one.
    A refusal (429, 503) holds its host for the time it names, at most ``hold_max`` seconds; without a time for
    ``hold_first`` seconds, and twice as long after each further one. ``since``: when this gate took over from one that
    may have asked just before (buckets fill from then on); infinitely long ago when there was none.

    Of every host for which :meth:`wait` said that it must wait, :meth:`freed` says once that it need not any longer.
    """

    def __init__(
        self,
        defaults: HostLimits | None = None,
        *,
        concurrency: float = CONCURRENCY,
        hold_first: float = 1.0,
        hold_max: float = 3_600.0,
        since: float = -math.inf,
    ) -> None:
        self._defaults = defaults or HostLimits()
        self._concurrency = concurrency
        self._hold_first = min(hold_first, hold_max)
        self._hold_max = hold_max
        self._since = since
        self._projects: dict[str, HostLimits] = {}
        self._patterned: dict[str, HostLimits] = {}  # those of them that name hosts
        self._version = 0  # of all limits together
        self._hosts: OrderedDict[str, _Host] = OrderedDict()  # who was not looked at for the longest time first
        self._holds: dict[str, None] = {}
        self._waits: dict[str, None] = {}  # hosts for which somebody was told to wait
        self._delays: OrderedDict[str, float] = OrderedDict()  # Crawl-delay, in seconds; 0: there is none
        self._heap: list[tuple[float, str]] = []
        self._freed: list[str] = []
        self.let_go = 0  # holds that were forgotten before they were over, for there were too many
        self.changed: set[str] = set()  # hosts whose hold has begun, grown or ended: for who writes them down

    # -- asking ------------------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Nothing is limited, held or waited for, whatever host it is: nobody need ask."""
        return not (self._projects or self._hosts or self._concurrency != math.inf or self._defaults != HostLimits())

    def wait(self, host: str, mono: float) -> float:
        """Seconds until the host may be asked; 0: now; infinite: when something that is under way has ended."""
        one = self._hosts.get(host)
        if one is None:
            return 0.0
        wait = self._wait_of(one, host, mono)
        if wait:
            if not one.waited_for:
                one.waited_for, self._waits[host] = True, None
            self._arm(one, host, mono + wait)
        return wait

    def explain(self, host: str, mono: float) -> Block | None:
        """Why the host may not be asked now; ``None``: it may."""
        one = self._hosts.get(host)
        return None if one is None else self._block(one, host, mono)

    def limits(self, host: str, mono: float, project: str = "") -> Limits:
        """What holds for the host now, with the defaults; for one at rest: once that project has asked it."""
        one = self._hosts.get(host)
        if one is None:
            return self._limits_of(host, [project] if project in self._projects else [])
        self._look(one, host, mono)
        return one.limits

    def blocked(self, mono: float, project: str | None = None) -> Iterator[tuple[str, int, Block]]:
        """Hosts that may not be asked now, with requests under way and why; of a project: those that it asks.

        Where many thousands wait, only some of them: those that are held come first.
        """
        for host in islice(dict.fromkeys(chain(self._holds, self._waits)), LOOK):
            one = self._hosts.get(host)
            if one is not None and (project is None or project in one.by):
                block = self._block(one, host, mono)
                if block is not None:
                    yield host, one.out, block

    def reads_robots(self, host: str) -> bool:
        """Whether it is waited for what the host's robots.txt says."""
        one = self._hosts.get(host)
        return one is not None and bool(one.limits.crawl_delay) and host not in self._delays

    def holds(self, host: str) -> bool:
        """Whether the host asked to be left alone, and has not answered well since."""
        one = self._hosts.get(host)
        return one is not None and one.hold is not None

    def under_way(self, host: str) -> int:
        """Requests to the host that were taken and have not ended."""
        one = self._hosts.get(host)
        return 0 if one is None else one.out

    def hosts(self) -> Iterator[tuple[str, int, Throttle | None]]:
        """All that are not at rest: host, requests under way, what autothrottle found out."""
        for host, one in self._hosts.items():
            yield host, one.out, one.throttle

    # -- what happens ------------------------------------------------------------------------------------------------

    def limit(self, project: str, limits: HostLimits | None, mono: float) -> None:
        """What a project says; ``None``: nothing any more."""
        before = self._projects.pop(project, None)
        self._patterned.pop(project, None)
        if limits is not None and limits != HostLimits():
            self._projects[project] = limits
            if limits.names:
                self._patterned[project] = limits
        if before == self._projects.get(project):
            return
        self._version += 1
        for host, one in self._hosts.items():
            self._note(one, host, mono)

    def take(self, host: str, mono: float, project: str = "") -> None:
        """One request goes out. It counts also when the host had to be asked out of turn."""
        if not host:
            return  # data: and the like reach no host
        one = self._hosts.get(host)
        if one is None:
            self._sweep(mono, 2)  # as it grows by one
            one = self._hosts[host] = _Host(mono)
        new = project not in one.by
        one.by[project] = one.asked = mono
        if new or one.version != self._version or mono >= one.check:
            self._settle(one, host, mono)
        one.out += 1
        if one.bucket is not None and not one.bucket.take(mono):
            one.bucket.owe(mono)
        if one.throttle is not None:
            one.throttle.sent()

    def adopt(self, host: str, project: str, mono: float) -> None:
        """A request is under way that somebody else took: before a start."""
        if host:
            one = self._hosts.setdefault(host, _Host(mono))
            one.by[project] = mono
            one.out += 1
            self._settle(one, host, mono)

    def ended(self, host: str, mono: float) -> None:
        """One that was taken has ended, or was lost."""
        one = self._hosts.get(host)
        if one is None:
            return
        one.out = max(0, one.out - 1)
        if one.waited_for:
            self._note(one, host, mono)  # else it is forgotten later, for it may be asked again in a moment

    def answered(
        self, host: str, mono: float, answer: Answer, seconds: float, status: int = 0, retry_after: float | None = None
    ) -> None:
        """What the host said to a request that took ``seconds``; ``retry_after``: seconds it asks to be left alone."""
        if not host:
            return
        one = self._hosts.get(host)
        if one is not None and one.throttle is not None and one.throttle.ended(answer, mono, seconds):
            self._pace(one, host, mono)
            self._note(one, host, mono)
        if answer is Answer.REFUSED:
            self._refused(host, mono, mono - seconds, status, retry_after)
        elif answer is not Answer.TROUBLE and one is not None and one.hold is not None:
            hold = one.hold
            if mono < hold.until or mono - seconds < hold.since:
                return  # of a request that was on its way when the host was held
            one.hold = None
            self._holds.pop(host, None)
            self.changed.add(host)
            self._note(one, host, mono)

    def crawl_delay(self, host: str, seconds: float | None, mono: float) -> None:
        """What the host's robots.txt asks for, as it was read just now; ``None``: nothing."""
        one = self._hosts.get(host)
        if one is None or not one.limits.crawl_delay:
            return
        known = self._delays.get(host)
        self._delays[host] = seconds or 0.0
        self._delays.move_to_end(host)
        if len(self._delays) > MOST:
            self._delays.popitem(last=False)
        if known != self._delays[host]:
            self._pace(one, host, mono)
            self._note(one, host, mono)

    def freed(self, mono: float) -> list[str]:
        """The hosts that were waited for and may be asked by now."""
        self._sweep(mono, SWEEP)
        while self._heap and self._heap[0][0] <= mono:
            due, host = heapq.heappop(self._heap)
            one = self._hosts.get(host)
            if one is not None and one.due == due:
                one.due = math.inf
                self._note(one, host, mono)
        found, self._freed = self._freed, []
        return list(dict.fromkeys(found))

    def next(self, mono: float) -> float:
        """Seconds until :meth:`freed` has to say something without anything else having happened."""
        if self._freed:
            return 0.0
        while self._heap:
            due, host = self._heap[0]
            one = self._hosts.get(host)
            if one is not None and one.due == due:
                return max(0.0, due - mono)
            heapq.heappop(self._heap)
        return math.inf

    # -- what outlives a restart -------------------------------------------------------------------------------------

    def dump(self, host: str, mono: float, wall: float) -> str | None:
        """The hold of a host as text, ``None`` when there is none; ``wall`` is Unix time."""
        one = self._hosts.get(host)
        if one is None or one.hold is None:
            return None
        hold = one.hold
        entry = (wall + hold.until - mono, wall + hold.since - mono, hold.status, hold.told, hold.refusals)
        return msgspec.json.encode(entry).decode()

    def load(self, host: str, text: str, mono: float, wall: float) -> bool:
        """Goes on with what :meth:`dump` wrote; False when that is over, or cannot be read."""
        try:
            hold = msgspec.json.decode(text, type=Hold)
        except msgspec.MsgspecError:
            return False
        # a clock that was wrong when it was written may not hold a host for longer than anybody could have asked for
        left = min(hold.until - wall, self._hold_max)
        if left <= 0 or not host:
            return False
        one = self._hosts.setdefault(host, _Host(mono))
        hold.until, hold.since = mono + left, mono + min(0.0, hold.since - wall)
        one.hold, self._holds[host] = hold, None
        self._settle(one, host, mono)
        return True

    # -- rules -------------------------------------------------------------------------------------------------------

    def _refused(self, host: str, mono: float, began: float, status: int, retry_after: float | None) -> None:
        one = self._hosts.get(host)
        limits = one.limits if one is not None else self._limits_of(host, ())
        if not retry_after and limits == NOTHING and host_limits.is_loopback(host):
            return  # nobody said how long, and nobody set limits for it
        if one is None:
            self._sweep(mono, 2)  # as it grows by one
            one = self._hosts[host] = _Host(mono)
            self._settle(one, host, mono)
        hold = one.hold
        again = hold is None or began >= hold.since  # else it was on its way when the host was held already
        refusals = (hold.refusals if hold is not None else 0) + again
        # who refuses again although it was left alone for as long as it said needs longer than it says
        guess = self._hold_first * 2.0 ** min(refusals - 1, 60) if again and (refusals > 1 or not retry_after) else 0.0
        until = mono + min(max(retry_after or 0.0, guess), self._hold_max)
        if until <= (mono if hold is None else hold.until):
            return
        self._holds[host] = None
        one.hold = Hold(until, mono if again or hold is None else hold.since, status, bool(retry_after), refusals)
        self.changed.add(host)
        if one.throttle is not None:
            one.throttle.held(until)
        self._note(one, host, mono)

    def _wait_of(self, one: _Host, host: str, mono: float) -> float:
        """Seconds to wait, without a word about why."""
        self._look(one, host, mono)
        hold = one.hold
        if hold is not None and mono < hold.until:
            return hold.until - mono
        if one.out >= self._most_out(one, host):
            return math.inf
        return one.bucket.wait(mono) if one.bucket is not None else 0.0

    def _block(self, one: _Host, host: str, mono: float) -> Block | None:
        wait = self._wait_of(one, host, mono)
        if not wait:
            return None
        hold = one.hold
        if hold is not None and mono < hold.until:
            if hold.told:
                return Block("retry_after", wait, f"it answered {hold.status} with Retry-After")
            times = "" if hold.refusals < 2 else f" {hold.refusals} times in a row"
            return Block("refused", wait, f"it answered {hold.status}{times}")
        if wait == math.inf:
            most = self._most_out(one, host)
            if most == 1 and hold is not None:
                return Block("refused", wait, f"one request tries it, after it answered {hold.status}")
            if most == 1 and one.limits.concurrency != 1:
                return Block("crawl_delay", wait, "one request reads its robots.txt")
            return Block("concurrency", wait, f"{one.out} requests are under way, {most:g} is the limit")
        assert one.bucket is not None
        rate, delay = one.bucket.rate or 0.0, self._delay_of(one, host)
        if delay and rate >= 1 / delay:
            return Block("crawl_delay", wait, f"its robots.txt asks for {delay:g} s between requests")
        if one.throttle is not None and rate >= one.throttle.rate:
            return Block("autothrottle", wait, f"autothrottle asks it {rate:.3g} times a second")
        return Block("rate", wait, f"its rate is {rate:g} a second")

    def _most_out(self, one: _Host, host: str) -> float:
        if one.hold is not None:
            return 1.0  # who was refused sends one ahead
        if one.limits.crawl_delay and host not in self._delays:
            return 1.0  # until its robots.txt has been read
        return one.limits.concurrency or math.inf

    def _delay_of(self, one: _Host, host: str) -> float:
        return min(self._delays.get(host, 0.0), one.limits.crawl_delay) if one.limits.crawl_delay else 0.0

    # -- limits ------------------------------------------------------------------------------------------------------

    def _limits_of(self, host: str, asking: Collection[str]) -> Limits:
        """The strictest of what the asking projects say, and of what others say of this host by name."""
        said = [limits.named(host) for name, limits in self._patterned.items() if name not in asking]
        said += [self._projects[name].of(host) for name in asking]
        said = [each for each in said if each != NOTHING]
        found = host_limits.strictest(said) if said else NOTHING
        found = host_limits.over(self._defaults.of(host), found)
        if found.concurrency is None and self._concurrency != math.inf and not host_limits.is_loopback(host):
            found = host_limits.over(Limits(concurrency=self._concurrency), found)
        return found

    def _look(self, one: _Host, host: str, mono: float) -> None:
        if one.version != self._version or mono >= one.check:
            self._settle(one, host, mono)

    def _settle(self, one: _Host, host: str, mono: float) -> None:
        """Finds out what holds for it now."""
        one.by = {name: at for name, at in one.by.items() if mono - at < LINGER}
        one.version = self._version
        general = [name for name in one.by if name in self._projects]
        one.check = mono + LINGER if general else math.inf
        one.limits = self._limits_of(host, general)
        target = one.limits.autothrottle
        if not target:
            one.throttle = None
        elif one.throttle is None:
            one.throttle = Throttle(mono, target)
        else:
            one.throttle.target = target
        self._pace(one, host, mono)

    def _pace(self, one: _Host, host: str, mono: float) -> None:
        """The bucket, as limits, autothrottle and Crawl-delay say together."""
        rate, burst = one.limits.rate or math.inf, one.limits.burst or 1.0
        delay = self._delay_of(one, host)
        if delay:
            rate, burst = min(rate, 1 / delay), 1.0
        if one.throttle is not None:
            rate, burst = min(rate, one.throttle.rate), 1.0
        if rate == math.inf:
            one.bucket = None
        elif one.bucket is None:
            one.bucket = TokenBucket(rate, burst, one.asked)
            here = rate * (mono - self._since)
            if here < burst:
                one.bucket.owe(one.asked, burst - here)
            if one.out:  # they were taken before there was a bucket
                one.bucket.owe(one.asked, min(one.out, burst))
        elif (one.bucket.rate, one.bucket.burst) != (rate, burst):
            one.bucket.change(rate, burst, mono)

    # -- shelves -----------------------------------------------------------------------------------------------------

    def _note(self, one: _Host, host: str, mono: float) -> None:
        """Something changed: who waits may be free, or free at another time."""
        if not one.waited_for:
            return
        wait = self._wait_of(one, host, mono)
        if wait:
            self._arm(one, host, mono + wait)
        else:
            one.waited_for, one.due = False, math.inf
            self._waits.pop(host, None)
            self._freed.append(host)

    def _arm(self, one: _Host, host: str, due: float) -> None:
        if one.due <= due < one.due + CLOSE:
            return  # a bucket's answer is a little other each time
        one.due = due
        if due != math.inf:
            heapq.heappush(self._heap, (due, host))
            if len(self._heap) > 2 * len(self._hosts) + 256:
                self._heap = [(each.due, name) for name, each in self._hosts.items() if each.due != math.inf]
                heapq.heapify(self._heap)

    def _sweep(self, mono: float, most: int) -> None:
        """Looks at some hosts in turn, and forgets those that are at rest; of too many also those that nearly are."""
        for _ in range(min(most, len(self._hosts) - KEPT)):
            host, one = next(iter(self._hosts.items()))
            held = one.hold is not None and mono < one.hold.until
            too_many = len(self._hosts) > MOST
            if one.out or one.waited_for or (held and not too_many):
                self._hosts.move_to_end(host)
            elif too_many or self._at_rest(one, host, mono):
                del self._hosts[host]
                self.let_go += held
                if one.hold is not None:
                    self._holds.pop(host, None)
                    self.changed.add(host)
            else:
                self._hosts.move_to_end(host)

    def _at_rest(self, one: _Host, host: str, mono: float) -> bool:
        self._look(one, host, mono)
        if one.hold is not None and mono < one.hold.until + REST:
            return False
        if one.throttle is not None and mono - one.asked < REST:
            return False
        return one.bucket is None or one.bucket.available(mono) >= one.bucket.burst
