"""What crosses a queue: typed, versioned, size-limited msgpack. Nothing is ever unpickled.

The wire form is one version byte and a msgpack array. Fields are only ever added at the end, with a default;
anything else raises :data:`VERSION`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from crawlkit.libs.auto import Auto, Said
from crawlkit.libs.errors import BadMessage, OtherVersion
from crawlkit.libs.task import MAX_PARTITIONS, Fetch, Schedule

VERSION = 1
MAX_MESSAGE = 8 * 2**20  # bytes; an outcome part is at most 4 MiB, a body over 1 MiB travels as a blob
MAX_INLINE_BODY = 2**20
MAX_OUTCOME_PART = 4 * 2**20
FOLLOWS_PER_PART = 1_000

# Queue names are pyspider's [Z02].
NEWTASK_QUEUE = "newtask_queue"
STATUS_QUEUE = "status_queue"
SCHEDULER2FETCHER = "scheduler2fetcher"
FETCHER2PROCESSOR = "fetcher2processor"
PROCESSOR2RESULT = "processor2result"
QUEUE_NAMES = (NEWTASK_QUEUE, STATUS_QUEUE, SCHEDULER2FETCHER, FETCHER2PROCESSOR, PROCESSOR2RESULT)


def status_queue_name(partition: int) -> str:
    """The queue of the answers for a partition: that of the first has pyspider's name, the others its number too."""
    return f"{STATUS_QUEUE}_{partition}" if partition else STATUS_QUEUE


def status_partition(name: str) -> int | None:
    """Whose status queue it is; ``None``: it is another queue."""
    if name == STATUS_QUEUE:
        return 0
    number = name.removeprefix(f"{STATUS_QUEUE}_")
    found = int(number) if number != name and number.isascii() and number.isdigit() and len(number) < 6 else 0
    return found if found and status_queue_name(found) == name else None


def queue_names(used: Iterable[str] = ()) -> list[str]:
    """The queues of the ring, and of ``used`` the status queues of further partitions, in the order of these."""
    more = {number: name for name in used if (number := status_partition(name))}
    return [*QUEUE_NAMES, *(more[number] for number in sorted(more))]


#: Whose answer it is: the partition of the task, which says the status queue. An older peer says none, so 0.
Partition = Annotated[int, Meta(ge=0, lt=MAX_PARTITIONS)]

NIL = Raw(b"\xc0")  # nothing, where a field is carried undecoded

EMPTY = Raw(b"\x90")  # no items, likewise

# Dispatch.kind
TASK = 0  # an ordinary task: a row, a lease, a place in the ledger
INFO = 1  # asks the handler for its ProjectInfo [S06]; no row, sent again when no answer comes
AWAIT = 2  # a request of self.fetch: its answer goes to the task that waits for it, no callback runs
RESUME = 3  # a task whose awaits are answered: it is not fetched again, what was recorded comes with it
PREPARE = 4  # runs before_request before the fetch; the outcome brings the changed request
AWAIT_CALLBACK = "_on_await"


class Dispatch(Struct, array_like=True, tag=False):
    """scheduler -> fetcher: one leased attempt at a task, with all that fetcher and processor need."""

    project: str
    taskid: str
    run: int
    attempt: int
    url: str
    script: str  # md5 of the script version to run
    callback: str | None
    time_limit: float  # seconds for the callback; 0: the processor's default
    kind: int
    schedule: Schedule
    fetch: Fetch  # crawl_config already joined in [H61]
    save: Raw  # msgpack; self.save of the task's last run [H14]
    lastcrawltime: float  # 0: never
    group: str = ""
    etag: str | None = None  # validators of the last good run [H49]
    last_modified: str | None = None
    jar: list[str] = []  # cookies of fetch.session, as the fetcher wrote them last
    auto: Auto | None = None  # of fetch_type auto: what to do this time
    partition: Partition = 0


class DispatchHead(Struct, array_like=True):
    """A :class:`Dispatch` as far as routing needs it, cheap to decode: the rest stays undecoded."""

    project: str
    taskid: str
    run: int
    attempt: int
    url: str
    script: str
    callback: str | None
    time_limit: float
    kind: int
    schedule: Raw = NIL
    fetch: Raw = NIL
    save: Raw = NIL
    lastcrawltime: float = 0
    group: Raw = NIL
    etag: Raw = NIL
    last_modified: Raw = NIL
    jar: Raw = NIL
    auto: Raw = NIL
    partition: Partition = 0


class Fetched(Struct, array_like=True):
    """fetcher -> processor: the answer, which is always sent, also for an error [F05, F20]."""

    task: Dispatch
    status_code: int
    url: str  # final
    orig_url: str
    headers: list[tuple[str, str]]  # as received, repeated ones apart
    cookies: dict[str, str]
    time: float  # seconds
    error: str | None = None
    error_kind: str | None = None
    history: list[tuple[int, str]] = []  # (status, url) of each redirect followed
    node: str = ""
    blob: str | None = None  # where a large body is; content is empty then
    size: int = 0  # bytes of body
    content: bytes = b""
    js_script_result: Any = None  # what a browser's script returned [H51]
    jar: list[str] | None = None  # cookies of fetch.session after the fetch; None: no session
    recorded: list[tuple[int, str]] = []  # kind RESUME: (0: the fetched page, else number of the await; blob)
    file: dict[str, Any] | None = None  # of self.download: path, bytes, sha256; content is empty then
    rendered: dict[str, Any] | None = None  # of a browser: xhr, screenshot, pdf (files as above), console, counts
    crawl_delay: float | None = None  # of robots.txt, in seconds; 0: it has none; None: it was not read


class FetchedHead(Struct, array_like=True):
    """The first field of a :class:`Fetched`, without looking at the rest."""

    task: DispatchHead


class Follow(Struct, array_like=True, gc=False):
    """A follow-up. ``plain``: nothing in it could make a known task run again, so a known taskid ends the matter."""

    taskid: str
    plain: bool
    task: Raw  # msgpack of a libs.task.Task


class Message(Struct, array_like=True):
    """self.send_message(): becomes a task of the receiving project [H18]."""

    project: str
    body: Raw  # msgpack; JSON-able
    url: str = ""  # what results of on_message are filed under; "": data:,on_message


class Await(Struct, array_like=True):
    """A request that a callback waits for with ``await self.fetch(...)``."""

    number: int  # of the await within the run, from 1
    task: Raw  # msgpack of a libs.task.Task; its taskid says which request this is
    where: str = ""  # file and line in the script


class TrackFetch(Struct, omit_defaults=True):
    """What is remembered of the fetch of one attempt [P07]."""

    ok: bool = False
    time: float = 0
    status_code: int = 0
    error: str | None = None
    error_kind: str | None = None
    redirect_url: str | None = None
    encoding: str | None = None
    size: int = 0
    headers: dict[str, str] | None = None  # all of them after a failure, else only validators
    content: str | None = None  # its first 500 characters, after a failure
    rendered: dict[str, Any] | None = None  # of a browser: screenshot, pdf, xhr without bodies, console, counts
    by: str | None = None  # of fetch_type auto: what fetched it, and why


class TrackProcess(Struct, omit_defaults=True):
    """What is remembered of the callback of one attempt [P07]."""

    ok: bool = False
    time: float = 0
    follows: int = 0
    results: int = 0
    result: str | None = None  # its first characters
    logs: str | None = None  # the last of them
    exception: str | None = None
    reason: str | None = None  # a word for counting: exception, time_limit, memory_limit, worker_died, ...


class Outcome(Struct, array_like=True, tag="outcome"):
    """processor -> (result worker ->) scheduler: what came of one attempt, in one or more parts.

    Parts have numbers from 0; children of a part may be committed as they come, the task ends with the ``last`` one.
    """

    project: str
    taskid: str
    run: int
    attempt: int
    kind: int
    part: int
    last: bool
    results: list[str]  # JSON texts, one a result; empty once the result worker has stored them
    first_result: int  # number of results[0] among the attempt's results
    url: str
    node: str
    ok: bool  # of the whole attempt; meaningful in the last part
    follows: list[Follow]
    messages: list[Message]
    not_modified: bool = False  # a 304: the results of the last run stay
    send_status: bool = True  # False: @not_send_status [H36]
    fetch: TrackFetch | None = None  # last part only, like all below
    process: TrackProcess | None = None
    save: Raw = NIL  # msgpack; NIL: unchanged
    etag: str | None = None
    last_modified: str | None = None
    info: Raw = NIL  # msgpack of a ProjectInfo, for kind INFO
    result_count: int = 0  # results of all parts together
    lastcrawltime: float = 0
    discarded: int = 0  # results of this part that the result worker did not keep, for the ledger
    awaits: list[Await] = []  # the callback waits for these; with them the task is parked, not ended
    record: str | None = None  # blob of the Fetched the callback began with, when it waits for the first time
    answer: str | None = None  # kind AWAIT: blob of the Fetched
    drop: str | None = None  # self.drop(reason): the task ends here, without a result and without a failure
    session: str | None = None  # whose cookies are in jar
    jar: list[str] | None = None
    prepared: Raw = NIL  # kind PREPARE: msgpack of the Fetch to use
    keys: list[str] = []  # canonical JSON of each result's key, parallel to results; empty without result_key
    key_policy: str = ""  # replace, keep_first, stop; "": no keys
    key_places: list[int] = []  # policy stop: how many of this part's follow-ups came before each result
    known: int = 0  # results that were not kept, because their key was known; from the result worker
    behind: int = 0  # policy stop: follow-ups that the result worker took out, behind a result with a known key
    auto: Said | None = None  # of fetch_type auto: how the page was judged
    partition: Partition = 0


class OutcomeHead(Struct, array_like=True, tag="outcome"):
    """An :class:`Outcome` as far as it says whose it is, cheap to decode: the rest stays undecoded."""

    project: str
    taskid: str
    run: int
    attempt: int
    kind: int
    part: int
    last: bool
    results: Raw
    first_result: int
    url: Raw
    node: Raw
    ok: bool
    follows: Raw
    messages: Raw
    not_modified: bool = False
    send_status: bool = True
    fetch: Raw = NIL
    process: Raw = NIL
    save: Raw = NIL
    etag: Raw = NIL
    last_modified: Raw = NIL
    info: Raw = NIL
    result_count: int = 0
    lastcrawltime: float = 0
    discarded: int = 0
    awaits: Raw = EMPTY
    record: Raw = NIL
    answer: Raw = NIL
    drop: Raw = NIL
    session: Raw = NIL
    jar: Raw = NIL
    prepared: Raw = NIL
    keys: Raw = EMPTY
    key_policy: str = ""
    key_places: Raw = EMPTY
    known: int = 0
    behind: int = 0
    auto: Raw = NIL
    partition: Partition = 0


class OutcomeForStore(Struct, array_like=True, tag="outcome"):
    """The same wire form as :class:`Outcome`, with what the result worker only passes on left undecoded."""

    project: str
    taskid: str
    run: int
    attempt: int
    kind: int
    part: int
    last: bool
    results: list[str]
    first_result: int
    url: str
    node: str
    ok: bool
    follows: Raw
    messages: Raw
    not_modified: bool = False
    send_status: bool = True
    fetch: Raw = NIL
    process: Raw = NIL
    save: Raw = NIL
    etag: str | None = None
    last_modified: str | None = None
    info: Raw = NIL
    result_count: int = 0
    lastcrawltime: float = 0
    discarded: int = 0
    awaits: Raw = EMPTY
    record: str | None = None
    answer: str | None = None
    drop: str | None = None
    session: str | None = None
    jar: list[str] | None = None
    prepared: Raw = NIL
    keys: list[str] = []
    key_policy: str = ""
    key_places: list[int] = []
    known: int = 0
    behind: int = 0
    auto: Raw = NIL
    partition: Partition = 0


class FetchEnded(Struct, array_like=True, tag="fetch_ended", gc=False):
    """fetcher -> scheduler, at once: what politeness needs to know."""

    project: str
    taskid: str
    run: int
    attempt: int
    host: str  # that answered; behind a redirect not the task's
    status_code: int
    error_kind: str | None
    time: float
    retry_after: float | None  # seconds from now
    crawl_delay: float | None = None  # seconds, of the robots.txt of the task's host; 0: none there; None: not read
    partition: Partition = 0


class Heartbeat(Struct, array_like=True, tag="heartbeat"):
    """A node -> scheduler, every few seconds: I am here, and these attempts are in my hands."""

    node: str  # unique per process
    role: str  # fetcher, processor, result_worker
    host: str
    pid: int
    version: str
    started: float
    held: list[tuple[str, str, int, int]] = []  # (project, taskid, run, attempt)
    stats: dict[str, float] = {}
    stopping: bool = False
    paused: str = ""  # why it takes no work now


class NewTasks(Struct, array_like=True, tag="new_tasks"):
    """anybody -> scheduler by the newtask queue: tasks to admit. Each is checked by itself."""

    tasks: list[Raw]  # msgpack of libs.task.Task


class CronSpec(Struct, omit_defaults=True):
    """One @every of one method. Either ``seconds`` or ``cron``."""

    method: str
    seconds: float | None = None
    cron: str | None = None
    tz: str = "UTC"
    catch_up: str = "once"  # once | all | none
    overlap: str = "skip"  # skip | queue | allow


class ProjectInfo(Struct, omit_defaults=True):
    """What a handler says of itself when asked [S06]."""

    crons: list[CronSpec] = []
    retry_delay: dict[str, float] = {}  # key: tries so far as text, '' the rest [H11]
    crawl_config: dict[str, Any] = {}
    has_on_finished: bool = False
    has_on_start: bool = False
    error: str | None = None  # the script does not load
    has_before_request: bool = False


StatusMessage = Outcome | FetchEnded | Heartbeat

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
_PREFIX = bytes([VERSION])
T = TypeVar("T")


def encode(message: Struct) -> bytes:
    """The wire form; raises :class:`BadMessage` when it would be larger than :data:`MAX_MESSAGE`."""
    data = _PREFIX + _encoder.encode(message)
    if len(data) > MAX_MESSAGE:
        raise BadMessage(f"{type(message).__name__} of {len(data)} bytes is over the limit of {MAX_MESSAGE}")
    return data


def encode_part(value: Any) -> bytes:
    """``value`` as it stands inside a message; raises ``TypeError`` or ``ValueError`` for what fits into none."""
    return _encoder.encode(value)


def pack(value: Any) -> Raw:
    """``value`` as msgpack, to be carried inside a message."""
    return Raw(_encoder.encode(value))


def decode(data: bytes | memoryview, kind: type[T] | Any) -> T:
    """The message in ``data``; raises :class:`BadMessage` with the reason, whatever the bytes are."""
    result: T = _decoded(data, kind, kind)
    return result


def _decoded(data: bytes | memoryview, kind: Any, key: Any) -> Any:
    """``key``: under which the decoder of ``kind`` is kept."""
    if len(data) > MAX_MESSAGE:
        raise BadMessage(f"message of {len(data)} bytes is over the limit of {MAX_MESSAGE}")
    if not data:
        raise BadMessage("an empty message")
    if data[0] != VERSION:
        raise OtherVersion(f"message version {data[0]}, this is version {VERSION}: run the same crawlkit everywhere")
    decoder = _decoders.get(key)
    if decoder is None:
        decoder = _decoders[key] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadMessage(f"not a {getattr(kind, '__name__', 'status message')}: {error}") from None


def decode_status(data: bytes) -> StatusMessage:
    """A message of the status queue."""
    message: StatusMessage = _decoded(data, StatusMessage, "status")  # the hash of a union takes its time
    return message
