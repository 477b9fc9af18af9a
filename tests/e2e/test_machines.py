"""A crawl on several hosts: the data on one, scheduler, web UI and workers each on another. Exact sets."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from crawlkit.proving.shop import shop_script
from crawlkit.proving.site import write_site
from tests import needs
from tests.e2e.commands import MANUAL, ROOT, until
from tests.e2e.hosts import LOOPBACK, NAMESPACES, Host, Lan, namespaces_work
from tests.e2e.machines import WORKERS, Machines
from tests.e2e.services import MariaDB, Postgres, Rabbit, Redis, Service
from tests.e2e.test_manual import expected

Make = Callable[[Host], Service]
PAIRS: dict[str, tuple[Make, Make | None]] = {
    "redis-postgres": (Postgres, Redis),
    "redis-mariadb": (MariaDB, Redis),
    "amqp-postgres": (Postgres, Rabbit),
    "amqp-mariadb": (MariaDB, Rabbit),
    "manager-postgres": (Postgres, None),
    "manager-mariadb": (MariaDB, None),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in PAIRS if name != "redis-postgres"]


@pytest.mark.parametrize("pair", ["redis-postgres", *SLOW])
@pytest.mark.timeout(400)
def test_the_manual_is_crawled_by_several_hosts_each_page_once(
    pair: str, manual_paths: frozenset[str], tmp_path: Path
) -> None:
    with Machines(tmp_path, needs.postgres_manual(), *PAIRS[pair]) as machines:
        site = machines.site
        project = machines.crawl(MANUAL, "http://127.0.0.1:8090/", site.base)
        machines.wait_done(project, 240)
        found = machines.results(project)
        assert set(found) == {site.base + path for path in manual_paths}
        assert Counter(site.requests()) == dict.fromkeys(found, 1)
        for path in ("index.html", "sql-select.html", "bookindex.html"):
            assert found[site.base + path] == expected(site, path)
        machines.say("audit")
        assert not machines.alive()
        if machines.lan.kind == NAMESPACES:  # else all have the same address
            assert site.clients() == {machines.lan[name].address for name in WORKERS}, "each worker has had its part"


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.timeout(1200)
def test_a_site_of_20_000_pages_is_crawled_exactly(pair: str, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    truth = write_site(folder, 20_000, "http://10.77.0.16:8080")
    with Machines(tmp_path, folder, *PAIRS[pair]) as machines:
        if machines.lan.kind == LOOPBACK:
            truth = write_site(folder, 20_000, machines.site.base.rstrip("/"))
        assert machines.site.base in next(iter(truth))
        shop = tmp_path / "shop.py"
        start = f"{machines.site.base}p/0.html"
        shop.write_text(shop_script(start))
        project = machines.crawl(shop, start, start)
        machines.wait_done(project, 900)
        found = machines.results(project)
        assert found == {url: page._asdict() for url, page in truth.items()}
        assert Counter(machines.site.requests()) == dict.fromkeys(found, 1)
        machines.say("audit")
        assert not machines.alive()


@pytest.fixture(params=[NAMESPACES, LOOPBACK])
def lan(request: pytest.FixtureRequest) -> Iterator[Lan]:
    allowed(request.param)
    with Lan(["one", "two"], request.param) as made:
        yield made


def allowed(kind: str) -> None:
    """Ends the test where hosts of that kind are refused: the others stand in for them then, also in CI."""
    if kind == NAMESPACES and not namespaces_work():
        pytest.skip("network namespaces are refused here: they take root, and iproute2")


def test_hosts_have_addresses_cables_and_an_end(lan: Lan, tmp_path: Path) -> None:
    """The harness itself."""
    one, two = lan["one"], lan["two"]
    look = ["python3", "-c", f"import socket; socket.create_connection(('{two.address}', 7000), 1).recv(2)"]
    serve = f"""
import socket
with socket.create_server(('{two.address}', 7000)) as server:
    while True:
        server.accept()[0].sendall(b'hi')
"""
    server = two.start(["python3", "-c", serve], said=tmp_path / "said.txt")
    until(lambda: one.run(look).returncode == 0, 10, "one reaches two")
    two.cut()
    assert one.run(look).returncode != 0
    two.join()
    until(lambda: one.run(look).returncode == 0, 10, "one reaches two again")
    two.kill()
    assert server.poll() is not None
    assert one.run(look).returncode != 0


@pytest.mark.parametrize("kind", [NAMESPACES, LOOPBACK])
def test_a_test_that_is_killed_leaves_no_host_behind(kind: str, tmp_path: Path) -> None:
    allowed(kind)
    program = f"""
import pathlib, sys, time
from tests.e2e.hosts import Lan
with Lan(["one"], {kind!r}) as lan:
    pid = lan["one"].start(["sleep", "600"], said=pathlib.Path({str(tmp_path / "said.txt")!r})).pid
    print(lan["one"].namespace, pid, flush=True)
    time.sleep(600)
"""
    test = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert test.stdout is not None
    namespace, pid = test.stdout.readline().split()
    assert psutil.pid_exists(int(pid))
    assert Path("/run/netns", namespace).exists() == (kind == NAMESPACES)
    test.kill()
    test.communicate()
    until(lambda: not psutil.pid_exists(int(pid)), 20, "what it started is gone")
    until(lambda: not Path("/run/netns", namespace).exists(), 20, "its hosts are gone")
