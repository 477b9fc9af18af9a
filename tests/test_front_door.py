from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = {"msgspec", "lxml", "parsel", "pyquery", "ada_url", "tornado", "sqlalchemy", "asyncio", "logging"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import crawlkit", SLOW),
        ("import crawlkit.libs.base_handler", {"lxml", "parsel", "pyquery", "asyncio", "charset_normalizer"}),
        ("from crawlkit import Response", {"lxml", "parsel", "pyquery", "asyncio", "charset_normalizer"}),
    ],
)
def test_importing_loads_only_what_is_needed(statement: str, absent: set[str]) -> None:
    program = f"{statement}\nimport sys\nprint(*sorted({absent!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == []
