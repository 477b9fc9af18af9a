"""Results over the API: the table, one result, files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from crawlkit.database.base import ResultSet
from tests.webui.rows import NOW, empty, put_project, put_results, services
from tests.webui.servers import Client, Running, in_thread, until

ROWS = [
    {"title": "Apple", "price": 3, "tags": ["a", "b"]},
    {"title": "banana", "price": "12"},
    {"title": "Cherry", "price": None, "url": "http://own.test/"},
    {"title": "date", "price": 0.5, "long": "x" * 1000},
    "plain",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One web UI for all tests here; each begins with empty stores."""
    with in_thread(tmp_path_factory.mktemp("webui") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> Client:
    return server.client()


@pytest.fixture(autouse=True)
def shop(server: Running) -> None:
    empty(server)
    put_project(server)
    put_results(server, *(json.dumps(row) for row in ROWS))


def table(client: Client, query: str) -> list[dict[str, str]]:
    return [one["values"] for one in client.api("GET", f"/results?project=shop&{query}")["items"]]


def titles(client: Client, query: str) -> list[str]:
    return [one.get("title", one.get("result", "")) for one in table(client, query)]


def test_every_result_newest_first_as_text(client: Client) -> None:
    page = client.api("GET", "/results?project=shop")
    assert (page["total"], page["next"], page["complete"]) == (5, None, True)
    assert page["columns"][:2] == ["title", "price"]
    assert sorted(page["columns"]) == ["long", "price", "result", "tags", "title"]
    assert page["items"][0]["values"] == {"url": "http://shop.test/page/4", "result": "plain"}
    assert page["items"][-1]["values"] == {
        "url": "http://shop.test/page/0", "title": "Apple", "price": "3", "tags": '["a","b"]',
    }  # fmt: skip
    long = page["items"][1]
    assert (long["cut"], len(long["values"]["long"]), long["taskid"]) == (["long"], 300, "t003")
    assert page["items"][2]["values"]["url"] == "http://own.test/"
    assert page["items"][2]["url"] == "http://shop.test/page/2"


def test_chosen_columns(client: Client) -> None:
    page = client.api("GET", "/results?project=shop&columns=price&columns=missing")
    assert [one["values"] for one in page["items"]] == [
        {},
        {"price": "0.5"},
        {"price": ""},
        {"price": "12"},
        {"price": "3"},
    ]
    assert page["items"][-1]["rest"] == 3


def test_filters(client: Client) -> None:
    assert titles(client, "text=APPLE") == ["Apple"]
    assert titles(client, "field=price&value=12") == ["banana"]
    assert titles(client, "field=title&value=*an*") == ["banana"]
    assert titles(client, "text=nothing") == []
    assert client.api("GET", "/results?project=shop&text=a")["total"] is None


def test_sorts(client: Client) -> None:
    assert titles(client, "sort=seq") == ["Apple", "banana", "Cherry", "date", "plain"]
    assert titles(client, "sort=price") == ["date", "Apple", "banana", "Cherry", "plain"]
    assert titles(client, "sort=-price") == ["banana", "Apple", "date", "Cherry", "plain"]
    assert titles(client, "sort=title") == ["Apple", "banana", "Cherry", "date", "plain"]
    assert titles(client, "sort=-title") == ["date", "Cherry", "banana", "Apple", "plain"]


@pytest.mark.parametrize("sort", ["-seq", "seq", "price", "-title"])
def test_pages(sort: str, server: Running, client: Client) -> None:
    whole = titles(client, f"sort={sort}")
    found: list[str] = []
    cursor = ""
    while True:
        page = client.api("GET", f"/results?project=shop&sort={sort}&limit=2&cursor={cursor}")
        found += [one["values"].get("title", "plain") for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        if not sort.endswith("seq"):  # what comes meanwhile does not shift the pages
            put_results(server, {"title": "0", "price": -1}, first=100 + len(found))
    assert found == whole


def test_a_sort_of_too_many_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from crawlkit.webui.api import results

    monkeypatch.setattr(results, "SORTED", 3)
    page = client.api("GET", "/results?project=shop&sort=title")
    assert [one["values"].get("title") for one in page["items"]] == ["Cherry", "date", None]
    assert page["complete"] is False


def test_one_whole(client: Client) -> None:
    seq = client.api("GET", "/results?project=shop")["items"][1]["seq"]
    assert client.api("GET", f"/results/shop/{seq}")["result"] == ROWS[3]
    for path in (f"/results/shop/{seq + 2}", "/results/shop/x", "/results/nobody/1"):
        assert client.get(f"/api/v1{path}").status == 404


@pytest.mark.parametrize("path", ["/results?project=nobody", "/results/nobody.csv"])
def test_an_unknown_project_is_404(path: str, client: Client) -> None:
    """T71."""
    answer = client.get(f"/api/v1{path}")
    assert (answer.status, "nobody" in answer.json["detail"]) == (404, True)


def test_results_of_a_project_that_is_gone_can_still_be_had(server: Running, client: Client) -> None:
    put_results(server, {"a": 1}, project="gone")
    assert client.api("GET", "/results?project=gone")["total"] == 1
    assert client.get("/api/v1/results/gone.jsonl").status == 200


# -- files -----------------------------------------------------------------------------------------------------------


def test_W17_json_lines_json_and_text(client: Client) -> None:
    answer = client.get("/api/v1/results/shop.jsonl")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="shop.jsonl"'
    assert [json.loads(line)["result"] for line in answer.body.splitlines()] == ROWS
    assert [one["result"] for one in client.get("/api/v1/results/shop.json").json] == ROWS
    assert client.get("/api/v1/results/shop.json?style=full").json[0]["taskid"] == "t000"
    assert client.get("/api/v1/results/shop.json?style=rows").body == answer.body
    lines = client.get("/api/v1/results/shop.txt").text.splitlines()
    assert lines[0] == 'http://shop.test/page/0\t{"title": "Apple", "price": 3, "tags": ["a", "b"]}'


def read_csv(client: Client, query: str = "") -> list[list[str]]:
    return list(csv.reader(io.StringIO(client.get(f"/api/v1/results/shop.csv{query}").text, newline="")))


def test_W17_csv(client: Client) -> None:
    rows = read_csv(client)
    assert rows[0] == ["url", "title", "price", "tags", "long", "result"]
    assert rows[1] == ["http://shop.test/page/0", "Apple", "3", '["a","b"]', "", ""]
    assert len(rows) == 6


def test_W17_offset_limit_filter_and_columns(client: Client) -> None:
    assert [row[1] for row in read_csv(client, "?offset=1&limit=2&columns=title")] == ["title", "banana", "Cherry"]
    assert [row[1] for row in read_csv(client, "?text=date&columns=title")] == ["title", "date"]
    assert client.get("/api/v1/results/shop.jsonl?offset=99").body == b""


def test_W17_the_old_addresses_lead_there(client: Client) -> None:
    for old, new in {
        "shop.json": "shop.json?style=rows",
        "shop.json?style=full&limit=2": "shop.json?limit=2&style=full",
        "shop.csv?offset=1": "shop.csv?offset=1",
        "shop.txt": "shop.txt",
    }.items():
        answer = client.get(f"/results/dump/{old}")
        assert (answer.status, answer.headers["Location"]) == (302, f"/api/v1/results/{new}")


def test_parquet(client: Client) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    answer = client.get("/api/v1/results/shop.parquet")
    assert answer.headers["Content-Type"] == "application/vnd.apache.parquet"
    found = pq.read_table(io.BytesIO(answer.body))
    assert found.column("title").to_pylist() == ["Apple", "banana", "Cherry", "date", None]
    assert found.num_rows == 5


def test_without_pyarrow_it_says_what_to_install(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = client.get("/api/v1/results/shop.parquet")
    assert (answer.status, "[parquet]" in answer.json["detail"]) == (400, True)


def test_an_unknown_format_is_named(client: Client) -> None:
    answer = client.get("/api/v1/results/shop.xml")
    assert (answer.status, "jsonl, json, csv, txt, parquet" in answer.json["detail"]) == (404, True)


def test_r69_no_formula_and_no_end_of_a_script(server: Running, client: Client) -> None:
    evil = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "</script><!--"]
    put_results(server, *({"evil": one, one: 1} for one in evil), first=50)
    rows = read_csv(client, "?text=e&field=evil")
    assert rows[1][1:2] == ["'" + evil[0]]
    for row in [*rows, *read_csv(client, "?field=evil&columns=evil")]:
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))], row
    for form in ("json", "jsonl", "json?style=rows"):
        text = client.get(f"/api/v1/results/shop.{form}").text
        assert "</" not in text
        assert "<!--" not in text
    assert client.get("/api/v1/results/shop.json").json[-1]["result"]["evil"] == evil[-1]


@pytest.mark.parametrize("rows", [100_000, pytest.param(300_000, marks=pytest.mark.slow)])
def test_many_rows_in_flat_memory(rows: int, server: Running) -> None:
    """W17, W52: every format streams; what the process holds does not grow with the rows."""
    put_project(server, "big")
    store = services(server).resultdb
    for start in range(0, rows, 5_000):
        sets = []
        for n in range(start, start + 5_000, 500):
            texts = [
                json.dumps({"n": n + i, "title": f"A thing of which there are many {n + i}", "price": i / 7})
                for i in range(500)
            ]
            sets.append(ResultSet("big", f"t{n}", 1, 1, f"http://x/{n}", 0, texts, True, NOW))
        store.save(sets)
    client = server.client()
    process = psutil.Process()
    count(client, "jsonl?limit=20000")
    count(client, "parquet?limit=20000")
    before = process.memory_info().rss
    peaks = {}
    for form in ("jsonl", "csv", "parquet"):
        size, peak = count(client, form)
        assert size > rows * 10 // 3
        peaks[form] = (peak - before) / 2**20
    assert max(peaks.values()) < 40, peaks  # MiB


def count(client: Client, form: str) -> tuple[int, int]:
    """Reads a download piece by piece: its size, and the largest RSS on the way. The file itself is not kept."""
    import http.client
    from urllib.parse import urlsplit

    process = psutil.Process()
    parts = urlsplit(client.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("GET", f"/api/v1/results/big.{form}", headers={"Cookie": client.cookie})
    answer = connection.getresponse()
    assert answer.status == 200
    size, peak, pieces = 0, 0, 0
    while piece := answer.read(2**17):
        size += len(piece)
        pieces += 1
        if pieces % 20 == 0:
            peak = max(peak, process.memory_info().rss)
    connection.close()
    return size, peak


def test_a_download_that_is_broken_off_ends_its_work(server: Running, client: Client) -> None:
    import http.client
    from urllib.parse import urlsplit

    put_results(server, *({"x": "y" * 50_000} for _ in range(400)), first=1000)
    resultdb = services(server).resultdb
    looks: list[Any] = []
    real = resultdb.find
    resultdb.find = lambda *args: looks.append(args) or real(*args)
    parts = urlsplit(client.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request("GET", "/api/v1/results/shop.jsonl", headers={"Cookie": client.cookie})
    connection.getresponse().read(1000)
    connection.close()
    seen = -1

    def still() -> bool:
        nonlocal seen
        before, seen = seen, len(looks)
        return before == seen

    until(still, 10, "the end of the reading")
    assert client.get("/api/v1/me").status == 200
