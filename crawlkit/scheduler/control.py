"""What others may ask a running scheduler: JSON over HTTP, with a token, on loopback unless told otherwise [S70].

Nothing is evaluated, and no answer is a live object. The address and the token are in ``scheduler.json`` of the data
path, readable by its owner only.
"""

from __future__ import annotations

import hmac
import http.client
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import tornado.netutil
import tornado.web

from crawlkit import __version__
from crawlkit.libs.errors import CrawlkitError, InvalidProject, InvalidTask, ServiceUnreachable, StoreUnavailable
from crawlkit.libs.task import JSONDict
from crawlkit.listening import Doorway
from crawlkit.scheduler.service import SchedulerService

MAX_REQUEST = 16 * 2**20
BODY_WITHIN = 30.0  # seconds
IDLE = 60.0  # seconds that a connection may take for the head of its next request
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # then this machine goes by names that nobody here knows
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
FILE = "scheduler.json"


def bracketed(host: str) -> str:
    """As it stands in a URL."""
    return f"[{host}]" if ":" in host else host


class ControlServer:
    """Serves the methods of a :class:`SchedulerService`. ``port`` 0 takes a free one; see :attr:`url`."""

    def __init__(
        self,
        service: SchedulerService,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        known_as: Sequence[str] = (),
    ) -> None:
        """``token``: a random one unless given; ``known_as``: other names of ``host``, as requests may name it."""
        self.token = token or secrets.token_urlsafe(24)
        self._host = host
        self._port = port
        self._methods = _methods(service)
        names = None if host in WILDCARDS else LOOPBACK_NAMES | {bracketed(name) for name in (host, *known_as)}
        routes = [(r"/rpc/(\w+)", _Call, {"methods": self._methods, "token": self.token, "hosts": names})]
        application = tornado.web.Application(routes, log_function=lambda handler: None)
        self._server = Doorway(
            application,
            max_header_size=16 * 2**10,
            max_body_size=MAX_REQUEST,
            max_buffer_size=2**20,
            body_timeout=BODY_WITHIN,
            idle_connection_timeout=IDLE,
        )
        application.settings["welcome"] = self._server.welcome

    def start(self) -> None:
        """Binds and listens; raises ``OSError`` when the port is taken."""
        sockets = tornado.netutil.bind_sockets(self._port, self._host)
        self._port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)

    @property
    def url(self) -> str:
        return f"http://{bracketed(self._host)}:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    async def stop(self) -> None:
        self._server.stop()
        await self._server.close_all_connections()

    def publish(self, data_path: Path) -> None:
        """Writes address and token where commands on this machine look for them."""
        target = data_path / FILE
        draft = target.with_suffix(".tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump({"url": self.url, "token": self.token, "pid": os.getpid(), "version": __version__}, stream)
        draft.replace(target)

    def is_published(self, data_path: Path) -> bool:
        """Whether what :meth:`publish` wrote is still there."""
        try:
            found = json.loads((data_path / FILE).read_text())
        except (OSError, ValueError):
            return False
        return bool(found.get("token") == self.token and found.get("pid") == os.getpid())

    @staticmethod
    def withdraw(data_path: Path) -> None:
        """Removes what :meth:`publish` wrote."""
        (data_path / FILE).unlink(missing_ok=True)


Method = Callable[[JSONDict], Awaitable[Any]]


def _methods(service: SchedulerService) -> dict[str, Method]:
    async def submit(args: JSONDict) -> Any:
        return await service.submit(args["tasks"])

    async def run(args: JSONDict) -> Any:
        return await service.run_project(args["project"])

    async def order(args: JSONDict) -> Any:
        return await service.order(args["project"], args["action"], args.get("reason"))

    async def count_action(args: JSONDict) -> Any:
        return await service.count_order(args["project"], args["action"], args.get("reason"))

    async def order_tasks(args: JSONDict) -> Any:
        return await service.order_tasks(args["project"], args["action"], args["taskids"])

    async def why(args: JSONDict) -> Any:
        return await service.why(args.get("project"), args["url"])

    async def send_message(args: JSONDict) -> Any:
        return await service.send_message(args["project"], args["message"])

    async def update_project(args: JSONDict) -> Any:
        service.update_project()

    async def drop_project(args: JSONDict) -> Any:
        await service.drop_project(args["project"])

    async def summary(args: JSONDict) -> Any:
        return {**service.summary(), "drained": service.drained()}

    async def size(args: JSONDict) -> Any:
        return sum(one["waiting"] + one["leased"] for one in service.summary()["projects"].values())

    async def dashboard(args: JSONDict) -> Any:
        return await service.dashboard()

    async def counters(args: JSONDict) -> Any:
        return await service.counters(args.get("window", "all"))

    async def next_ticks(args: JSONDict) -> Any:
        return await service.next_ticks(args["project"], args.get("n", 5))

    async def active_tasks(args: JSONDict) -> Any:
        return await service.active_tasks(args.get("project"), args.get("limit", 100))

    async def hosts(args: JSONDict) -> Any:
        return await service.hosts(args.get("project"), args.get("limit", 100))

    methods = (
        submit, run, order, count_action, order_tasks, why, send_message, update_project, drop_project, summary, size,
        dashboard, counters, next_ticks, active_tasks, hosts,
    )  # fmt: skip
    return {method.__name__: method for method in methods}


@tornado.web.stream_request_body  # the token comes before the body: a stranger's is dropped as it comes
class _Call(tornado.web.RequestHandler):
    def initialize(self, methods: dict[str, Method], token: str, hosts: frozenset[str] | None) -> None:
        self.methods = methods
        self.token = token
        self.hosts = hosts
        self.refusal: tuple[int, str] | None = None
        self.chunks: list[bytes] = []

    def prepare(self) -> None:
        host = self.request.host.rpartition(":")[0] or self.request.host
        given = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.hosts is not None and host not in self.hosts:
            self.refusal = 403, "this host name is not served"
        elif not hmac.compare_digest(given.encode(), self.token.encode()):
            self.refusal = 401, "wrong token"
        else:
            connection: Any = self.request.connection
            self.settings["welcome"](connection.stream)

    def data_received(self, chunk: bytes) -> None:
        if self.refusal is None:
            self.chunks.append(chunk)

    async def post(self, name: str) -> None:
        if self.refusal is not None:  # said behind the body: who still sends would miss it
            return self._answer(self.refusal[0], {"error": self.refusal[1]})
        method = self.methods.get(name)
        if method is None:
            return self._answer(404, {"error": f"no method {name!r}; there are: {', '.join(sorted(self.methods))}"})
        try:
            args = msgspec.json.decode(b"".join(self.chunks) or b"{}", type=dict[str, Any])
            return self._answer(200, {"result": await method(args)})
        except KeyError as error:
            return self._answer(400, {"error": f"argument {error} is missing"})
        except (msgspec.MsgspecError, InvalidTask, InvalidProject, ValueError, TypeError) as error:
            return self._answer(400, {"error": str(error)})
        except StoreUnavailable as error:
            return self._answer(503, {"error": str(error)})

    def _answer(self, status: int, body: JSONDict) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(body))


class ControlClient:
    """Asks a running scheduler; synchronous. Every method raises :class:`ServiceUnreachable` when none answers."""

    def __init__(self, url: str, token: str, timeout: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._timeout = timeout
        self.start_words = "start it with 'crawlkit all'"  # what to do when it does not answer
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def at(cls, data_path: Path, timeout: float = 10.0) -> ControlClient:
        """The scheduler that runs on this data path."""
        try:
            found = json.loads((data_path / FILE).read_text())
        except FileNotFoundError:
            raise ServiceUnreachable(
                f"no scheduler runs on {data_path}: start one with 'crawlkit --data-path {data_path} all'"
            ) from None
        except (OSError, ValueError) as error:
            raise ServiceUnreachable(f"{data_path / FILE} cannot be read: {error}") from None
        client = cls(found["url"], found["token"], timeout)
        client.start_words = f"start it with 'crawlkit --data-path {data_path} all'"
        return client

    def call(self, method: str, **args: Any) -> Any:
        """One call; a refusal raises :class:`CrawlkitError` with the scheduler's words."""
        try:
            body = msgspec.json.encode(args)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidTask(method, f"cannot be sent: {error}") from None
        if len(body) > MAX_REQUEST:
            raise InvalidTask(method, f"is {len(body):,} bytes, over the limit of {MAX_REQUEST:,} for one request")
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            status, answer = self._post(f"/rpc/{method}", body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServiceUnreachable(
                f"the scheduler at {self.url} does not answer ({error}): {self.start_words}"
            ) from None
        if status == 200:
            return answer["result"]
        if status == 401:
            raise ServiceUnreachable(
                f"the scheduler at {self.url} refuses the token: give both the same CRAWLKIT_SECRET_KEY, or the same"
                " CRAWLKIT_SCHEDULER_TOKEN"
            )
        raise CrawlkitError(answer.get("error", f"HTTP {status}"))

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, JSONDict]:
        for last_try in (False, True):
            if self._connection is None:
                parts = urlsplit(self.url)
                self._connection = http.client.HTTPConnection(
                    parts.hostname or "127.0.0.1", parts.port or 80, timeout=self._timeout
                )
            try:
                self._connection.request("POST", path, body, headers)
                response = self._connection.getresponse()
                return response.status, msgspec.json.decode(response.read(), type=dict[str, Any])
            except (ConnectionError, http.client.BadStatusLine):
                # a kept connection may have been closed in the meantime; every method may be repeated
                self.close()
                if last_try:
                    raise
            except msgspec.MsgspecError as error:
                raise http.client.HTTPException(f"not an answer of crawlkit: {error}") from None
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def submit(self, tasks: Sequence[JSONDict]) -> list[JSONDict]:
        """One verdict per task, in order: ``{"taskid", "accepted", "verdict", "reason"}``, committed."""
        return list(self.call("submit", tasks=list(tasks)))

    def run(self, project: str) -> JSONDict:
        return dict(self.call("run", project=project))

    def order(self, project: str, action: str, reason: str | None = None) -> JSONDict:
        """clear, restart, retry_failed, pause or resume a project; the verdict comes when the order is committed.

        ``reason`` (retry_failed): only tasks that failed with it.
        """
        return dict(self.call("order", project=project, action=action, reason=reason))

    def count_action(self, project: str, action: str, reason: str | None = None) -> JSONDict:
        """How many tasks an order, or ``drop``, would touch: ``{"tasks", "leased"}``. Changes nothing."""
        return dict(self.call("count_action", project=project, action=action, reason=reason))

    def cancel_tasks(self, project: str, taskids: Sequence[str]) -> list[JSONDict]:
        """Takes waiting tasks out of their queue; one verdict each, as :meth:`submit` gives them."""
        return list(self.call("order_tasks", project=project, action="cancel", taskids=list(taskids)))

    def rerun_tasks(self, project: str, taskids: Sequence[str]) -> list[JSONDict]:
        """Runs tasks again at once; those that are out, when they have come back. One verdict each."""
        return list(self.call("order_tasks", project=project, action="rerun", taskids=list(taskids)))

    def why(self, project: str | None, url: str) -> list[JSONDict]:
        """Why a URL was crawled or not, one answer a project: the fields of :class:`crawlkit.scheduler.why.Answer`."""
        return list(self.call("why", project=project, url=url))

    def send_message(self, project: str, message: Any) -> JSONDict:
        return dict(self.call("send_message", project=project, message=message))

    def update_project(self) -> None:
        self.call("update_project")

    def drop_project(self, project: str) -> None:
        self.call("drop_project", project=project)

    def summary(self) -> JSONDict:
        return dict(self.call("summary"))

    def size(self) -> int:
        """Tasks waiting and handed out."""
        return int(self.call("size"))

    def dashboard(self) -> JSONDict:
        """``{"time", "loaded", "projects"}``: how all projects stand, a second old at most; see scheduler.overview.

        ``loaded`` is false, and the rest empty, while a scheduler that was started a moment ago reads its stores.
        """
        return dict(self.call("dashboard"))

    def counters(self, window: str = "all") -> JSONDict:
        return dict(self.call("counters", window=window))

    def next_ticks(self, project: str, n: int = 5) -> list[Any]:
        """The next ``n`` instants (Unix time, method) at which a project's crons fire."""
        return list(self.call("next_ticks", project=project, n=n))

    def active_tasks(self, project: str | None = None, limit: int = 100) -> list[Any]:
        return list(self.call("active_tasks", project=project, limit=limit))

    def hosts(self, project: str | None = None, limit: int = 100) -> list[JSONDict]:
        """The hosts (of a project: those that it asks) that may not be asked now.

        ``{"host", "why", "text", "until", "under_way"}`` each; ``until`` is Unix time, or ``None`` when something that
        is under way must end first.
        """
        return list(self.call("hosts", project=project, limit=limit))
