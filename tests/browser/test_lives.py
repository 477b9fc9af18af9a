"""What happens to pages and processes when a browser, its driver, or the service is frozen or killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.browser.serving import Running, bad_site, is_ours, serving
from tests.fetcher.helpers import wait_for
from tests.needs import binary

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _chromium() -> None:
    binary("chromium")


def role(process: psutil.Process) -> str:
    """``driver``, ``guard``, ``browser``, or what Chromium calls it."""
    try:
        line = process.cmdline()
    except psutil.Error:
        return "gone"
    if "run-driver" in line:
        return "driver"
    if any(word.endswith("guard.py") for word in line):
        return "guard"
    if any("crashpad" in word for word in line[:1]):
        return "crashpad"
    return next((word.removeprefix("--type=") for word in line if word.startswith("--type=")), "browser")


def those(running: Running, wanted: str) -> list[psutil.Process]:
    return [one for one in running.processes() if role(one) == wanted]


@pytest.mark.parametrize(("victim", "number"), [("browser", signal.SIGKILL), ("driver", signal.SIGKILL),
                                                 ("guard", signal.SIGKILL), ("browser", signal.SIGSTOP)])  # fmt: skip
def test_a_page_crashes_with_its_browser_and_the_next_gets_a_new_one(victim: str, number: int) -> None:
    async def play() -> None:
        async with bad_site() as base, serving(answer_within=2, watch=0.2) as running:
            page = asyncio.create_task(running.ask(f"{base}/hang", timeout=60))
            await wait_for(lambda: running.service.pool.state()["browsers"] == 1, 60)
            old = running.processes()
            for one in those(running, victim):
                one.send_signal(number)
            heard = await asyncio.wait_for(page, 30)
            assert (heard.reply["status_code"], heard.reply["error_kind"]) == (599, "crashed")
            after = await running.ask(f"{base}/ok")
            assert "made by a script" in after.reply["content"]
            await wait_for(lambda: not any(one.is_running() for one in old), 20)
            assert running.service.pool.crashed == 1

    asyncio.run(asyncio.wait_for(play(), 110))


def test_a_browser_that_can_begin_no_page_is_replaced() -> None:
    async def play() -> None:
        async with bad_site() as base, serving(answer_within=2, watch=0.2) as running:
            assert "made by a script" in (await running.ask(f"{base}/ok")).reply["content"]
            for one in those(running, "zygote"):
                one.kill()
            heard = await running.ask(f"{base}/ok", timeout=4)
            assert heard.reply["error_kind"] in ("timeout", "crashed")  # some browsers see it, some hang
            assert "made by a script" in (await running.ask(f"{base}/ok", timeout=60)).reply["content"]

    asyncio.run(asyncio.wait_for(play(), 100))


def test_a_browser_whose_network_process_hangs_is_replaced() -> None:
    async def play() -> None:
        bounds = {"overrun": 0.3, "close_within": 0.5, "close_page_within": 1}
        async with bad_site() as base, serving(watch=0.2, **bounds) as running:
            assert "made by a script" in (await running.ask(f"{base}/ok")).reply["content"]
            for one in those(running, "utility"):
                if any("network" in word.lower() for word in one.cmdline()):
                    one.send_signal(signal.SIGSTOP)
            for _ in range(3):
                assert (await running.ask(f"{base}/ok", timeout=1.2)).reply["error_kind"] == "timeout"
            assert running.service.pool.recycled == 1
            assert "made by a script" in (await running.ask(f"{base}/ok", timeout=60)).reply["content"]
            for _ in range(3):  # a site that says nothing is no fault of the browser's
                assert (await running.ask(f"{base}/hang", timeout=1.2)).reply["error_kind"] == "timeout"
            assert running.service.pool.recycled == 1

    asyncio.run(asyncio.wait_for(play(), 100))


def test_a_browser_is_replaced_and_its_pages_get_done() -> None:
    async def play() -> None:
        async with bad_site() as base, serving(recycle_pages=2, poolsize=3, watch=0.2, idle=1) as running:
            slow = asyncio.create_task(running.ask(f"{base}/hang", timeout=4))
            await wait_for(lambda: running.service.line.taken == 1, 30)
            await wait_for(lambda: those(running, "renderer"), 30)
            # it leaves its neighbours on the machine their share, also as root
            assert min(one.nice() for one in those(running, "browser")) >= psutil.Process().nice()
            for _ in range(3):
                assert "made by a script" in (await running.ask(f"{base}/ok")).reply["content"]
            assert (await slow).reply["error_kind"] == "timeout"
            assert running.service.pool.recycled >= 1
            await wait_for(lambda: running.service.pool.state()["browsers"] == 0, 30)  # at rest
            await wait_for(lambda: not running.processes(), 20)
            assert "made by a script" in (await running.ask(f"{base}/ok")).reply["content"]

    asyncio.run(asyncio.wait_for(play(), 100))


def test_a_page_that_takes_all_memory_is_ended_alone() -> None:
    async def play() -> None:
        async with bad_site() as base, serving(page_memory=300 * 2**20, watch=0.2, poolsize=2) as running:
            big = asyncio.create_task(running.ask(f"{base}/ok", timeout=60, js_script=EATER))
            heard = await asyncio.wait_for(big, 60)
            assert heard.reply["error_kind"] == "crashed"
            assert running.service.pool.crashed == 0
            assert "made by a script" in (await running.ask(f"{base}/ok")).reply["content"]

    asyncio.run(asyncio.wait_for(play(), 100))


EATER = ("function() { window.all = []; setInterval(() => window.all.push(new Uint8Array(2e7).fill(1)), 20);"
         " return new Promise(done => setTimeout(done, 50000)) }")  # fmt: skip


@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_is_left_of_a_service_that_is_killed(frozen: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    argv = [sys.executable, "-m", "crawlkit", "browser", "--quiet", "--port", str(port), "--data-path", "none"]
    service = subprocess.Popen(argv, env=env, cwd=folder)

    async def page() -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        body = b'{"url": "http://127.0.0.1:%d/"}' % quiet.getsockname()[1]
        writer.write(b"POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\n"), 60)  # its time runs
        there = [one for one in psutil.Process(service.pid).children(recursive=True) if is_ours(one)]
        assert {"driver", "guard", "browser"} <= set(map(role, there))
        if frozen:
            for one in there:
                if role(one) != "guard":
                    one.suspend()
        service.kill()
        _, left = await asyncio.to_thread(psutil.wait_procs, there, 20)
        assert not left, [(one.pid, role(one)) for one in left]
        writer.close()

    try:
        with socket.create_server(("127.0.0.1", 0)) as quiet:  # it takes connections and says nothing
            asyncio.run(asyncio.wait_for(page(), 110))
    finally:
        service.kill()
        service.wait()
    assert not list(folder.glob("crawlkit-browser-*/[0-9]*")), "a profile"
    shutil.rmtree(folder)
