"""Settings on their way from the projectdb to handlers."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from crawlkit.database.base import ProjectRow, SettingRow
from crawlkit.database.memory import MemoryProjectStore
from crawlkit.libs.messages import INFO, ProjectInfo
from crawlkit.processor.grants import Grants
from crawlkit.processor.orders import Settings

from .helpers import bench, fetched, script, unseal, until


def given(grants: Grants, project: str) -> Settings:
    return msgspec.msgpack.decode(grants.known(project), type=Settings)


def test_only_what_changed_is_read_anew() -> None:
    async def main() -> None:
        store = MemoryProjectStore()
        grants = Grants(store, unseal)
        for name in "ab":
            store.put(ProjectRow(name))
        store.put_setting("a", SettingRow("key", "sealed:1"))
        store.put_setting("a", SettingRow("user", "sealed:ann", False))
        assert grants.known("a") == b""
        await grants.find("a")
        await grants.find("b")
        assert given(grants, "a") == Settings("a", {"key": "1", "user": "ann"}, ["key"])
        assert grants.known("b") == b""
        await grants.refresh()
        before = grants.known("a")
        store.put_setting("b", SettingRow("key", "sealed:2"))
        await grants.refresh()
        assert grants.known("a") is before
        assert given(grants, "b").values == {"key": "2"}
        store.remove_setting("b", "key")
        await grants.refresh()
        assert given(grants, "b") == Settings("b")  # said, so that workers forget it

    asyncio.run(main())


def test_what_the_row_says_is_kept_up_to_date() -> None:  # H12
    async def main() -> None:
        store = MemoryProjectStore()
        store.put(ProjectRow("a", group="g", status="RUNNING", comments="c", rate=2.0, burst=5.0))
        grants = Grants(store, unseal)
        await grants.find("a")
        await grants.find("none")
        assert grants.about("none") == {}
        said = grants.about("a")
        assert said.pop("updatetime")
        assert said == {"group": "g", "status": "RUNNING", "comments": "c", "rate": 2.0, "burst": 5.0}
        store.put(ProjectRow("a", status="STOP", rate=None))
        await grants.refresh()
        assert (grants.about("a")["status"], grants.about("a")["rate"]) == ("STOP", None)

    asyncio.run(main())


def test_a_handler_reads_its_projects_row() -> None:  # H12
    async def main() -> None:
        async with bench(workers=1) as it:
            shop = it.projects.save("shop", script("def page(self): return dict(self.project)"))
            row = it.projects.rows["shop"]
            row.status, row.group, row.comments, row.rate, row.updatetime = "DEBUG", "g", "of mine", 0.5, 7.0
            it.projects.set("shop", api_key="hunter2")
            row.updatetime = 7.0
            (outcome,) = await it.run(fetched("shop", shop, url="http://x/1"))
            found = msgspec.json.decode(outcome.results[0])
            assert "hunter2" not in outcome.results[0]
            assert found.pop("script").startswith("from crawlkit")
            assert found == {
                "name": "shop", "status": "DEBUG", "group": "g", "comments": "of mine", "rate": 0.5, "burst": 3.0,
                "updatetime": 7.0,
            }  # fmt: skip

    asyncio.run(main())


def test_what_does_not_open_is_said_once_a_look_and_to_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = MemoryProjectStore()
        store.put(ProjectRow("a"))
        store.put_setting("a", SettingRow("key", "sealed:1"))
        grants = Grants(store)
        with caplog.at_level(logging.ERROR):
            await grants.find("a")
        words = "setting key of project a cannot be opened here: there is no secret key"
        assert [record.getMessage() for record in caplog.records] == [words]
        assert given(grants, "a") == Settings("a", closed={"key": words})

    asyncio.run(main())


SHOP = script(
    """
    def __init__(self):
        self.at_start = self.settings.get("api_key")

    def page(self, response):
        print("key", self.settings["api_key"], self.settings["plain_user"])
        import os
        return {"now": self.settings["api_key"], "at_start": self.at_start, "names": list(self.settings),
                "env": "hunter" in repr(dict(os.environ))}

    def fail(self, response):
        raise ValueError("no " + self.settings["api_key"])

    def leave(self, response):
        raise SystemExit(self.settings["api_key"])
    """
)


def test_a_handler_gets_the_settings_of_its_project_and_leaves_no_secret_behind() -> None:
    async def main() -> None:
        async with bench(workers=2) as it:
            shop, other = it.projects.save("shop", SHOP), it.projects.save("other", SHOP)
            it.projects.set("shop", api_key="hunter2-a", plain_user="ann-with-a-name")
            it.projects.set("other", plain_user="bob")
            good, bad, gone, alien = await it.run(
                fetched("shop", shop, url="http://x/1"),
                fetched("shop", shop, "fail", url="http://x/2"),
                fetched("shop", shop, "leave", url="http://x/3"),
                fetched("other", other, url="http://x/4"),
            )
            assert msgspec.json.decode(good.results[0]) == {
                "now": "hunter2-a", "at_start": "hunter2-a", "names": ["api_key", "plain_user"], "env": False,
            }  # fmt: skip
            assert good.process.logs == "key *** ann-with-a-name\n"
            assert "hunter2" not in repr(good.process)
            assert bad.process.exception == "ValueError: no ***"
            assert "hunter2" not in repr(bad) + repr(gone)
            assert "SystemExit: ***" in gone.process.exception
            assert "no setting 'api_key'; set it with: crawlkit project set other api_key" in alien.process.exception

    asyncio.run(main())


def test_a_changed_setting_reaches_a_running_worker() -> None:
    async def main() -> None:
        async with bench(workers=1) as it:
            shop = it.projects.save("shop", SHOP)
            it.projects.set("shop", api_key="first-value", plain_user="u")
            (first,) = await it.run(fetched("shop", shop, url="http://x/0"))
            assert msgspec.json.decode(first.results[0])["now"] == "first-value"
            it.projects.set("shop", api_key="second-value")
            await until(lambda: b"second-value" in it.service.settings_of("shop"), within=2)
            pids = it.service.pids()
            (second,) = await it.run(fetched("shop", shop, url="http://x/1"))
            found = msgspec.json.decode(second.results[0])
            assert found["now"] == "second-value"
            assert found["at_start"] == "first-value"
            assert second.process.logs == "key *** u\n"
            assert it.service.pids() == pids
            it.projects.set("shop", api_key=None)
            await until(lambda: b"second-value" not in it.service.settings_of("shop"), within=2)
            (third,) = await it.run(fetched("shop", shop, url="http://x/2"))
            assert "no setting 'api_key'" in third.process.exception

    asyncio.run(main())


def test_a_setting_holds_for_the_start_that_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlkit.processor.service.LOOK", 3600.0)  # nothing is read anew by the clock

    async def main() -> None:
        async with bench(workers=1) as it:
            shop = it.projects.save("shop", SHOP)
            await it.run(fetched("shop", shop, url="http://x/0"))
            it.projects.set("shop", api_key="just-now", plain_user="u")
            await it.run(fetched("shop", shop, callback="on_start", url="data:,on_start"))
            (found,) = await it.run(fetched("shop", shop, url="http://x/1"))
            assert msgspec.json.decode(found.results[0])["now"] == "just-now"

    asyncio.run(main())


def test_a_script_that_does_not_load_or_answer_leaves_no_secret_behind() -> None:
    async def main() -> None:
        async with bench() as it:
            text = script(
                """
                def __init__(self):
                    raise RuntimeError(self.settings["api_key"])
                """
            )
            asked = script(
                """
                @property
                def crawl_config(self):
                    raise RuntimeError(self.settings["api_key"])
                """
            )
            versions = {name: it.projects.save(name, body) for name, body in (("shop", text), ("asked", asked))}
            for name in versions:
                it.projects.set(name, api_key="hunter2-hunter2")
            ended = await it.run(
                fetched("shop", versions["shop"]), fetched("asked", versions["asked"], "_on_get_info", kind=INFO)
            )
            assert "hunter2" not in repr(ended)
            assert "RuntimeError: ***" in ended[0].process.exception
            info = msgspec.msgpack.decode(ended[1].info, type=ProjectInfo)
            assert info.error == "line 8: RuntimeError: ***"

    asyncio.run(main())
