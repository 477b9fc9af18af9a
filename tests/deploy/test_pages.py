"""The pages several-machines and deploy: every command is one of crawlkit's, every setting, file and URL is real."""

from __future__ import annotations

import re
import shlex

import pytest

from crawlkit.database.registry import check
from crawlkit.libs.task import JSONDict
from crawlkit.message_queue.registry import connect_broker
from tests.deploy.commands import DEPLOY, known_variables, parses

ROOT = DEPLOY.parent
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("several-machines", "deploy")}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines]


def settings() -> JSONDict:
    lines = [line for block in blocks("several-machines", "ini") for line in block.splitlines()]
    return {
        f"{number} {line.split('=', 1)[0]}": shlex.split(line.split("=", 1)[1])[0] for number, line in enumerate(lines)
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_crawlkits_is_one(page: str) -> None:
    ours = [words[1:] for words in commands(page) if words[0] == "crawlkit" and words[1:]]
    assert len(ours) >= 3
    for words in ours:
        assert parses(words) in {"all", "ping", "node", "nodes", "partitions", "scheduler", "webui"}


def test_every_variable_is_known_and_every_url_is_served() -> None:
    found = settings()
    assert not known_variables({name.split()[1]: value for name, value in found.items()})
    table = re.findall(r"^\| `(CRAWLKIT_\w+)` \|", PAGES["several-machines"], re.MULTILINE)
    assert not known_variables(dict.fromkeys(table))
    queues = [value for name, value in found.items() if name.endswith("CRAWLKIT_MESSAGE_QUEUE")]
    assert {url.partition(":")[0] for url in queues} == {"redis", "manager", "amqp"}
    for url in queues:
        connect_broker(url, key="the secret key of all hosts")
    for url in [value for name, value in found.items() if name.endswith("CRAWLKIT_DATABASE")]:
        for kind in ("taskdb", "projectdb", "resultdb", "logdb"):
            assert check(url, kind).engine in ("postgresql", "mysql")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_deploy_is_there(page: str) -> None:
    named = set(re.findall(r"deploy/[\w./-]+\w", PAGES[page])) - {"deploy/crawlkit.env"}
    assert not [name for name in named if not (ROOT / name).exists()]
    units = set(re.findall(r"^\| `(crawlkit-\w+)` \|", PAGES[page], re.MULTILINE))
    assert not [unit for unit in units if not (DEPLOY / "systemd" / f"{unit}.service").exists()]


def test_redis_is_set_up_as_the_tests_do_it() -> None:
    (block,) = re.findall(r"^```\n(bind.*?)^```", PAGES["several-machines"], re.DOTALL | re.MULTILINE)
    lines = dict(line.split(" ", 1) for line in block.splitlines())
    assert lines["appendonly"] == "yes"
    assert lines["appendfsync"] == "always"
    assert lines["maxmemory-policy"] == "noeviction"


def test_the_extras_that_are_installed_exist() -> None:
    setup = (ROOT / "setup.py").read_text()
    for page in PAGES.values():
        for extras in re.findall(r"(?:crawlkit-framework|[\"']\.)\[([\w,]+)\]", page):
            assert not [extra for extra in extras.split(",") if f'"{extra}": [' not in setup]
