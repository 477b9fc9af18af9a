"""What error messages say of how an optional part is installed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from crawlkit.libs.extras import HOME, install_command


def test_from_a_checkout_the_command_names_it_and_this_python() -> None:
    assert (HOME / "setup.py").exists()
    assert shlex.split(install_command("redis")) == [sys.executable, "-m", "pip", "install", "-e", f"{HOME}[redis]"]


def test_a_path_with_blanks_is_quoted(tmp_path: Path) -> None:
    home = tmp_path / "my checkout"
    home.mkdir()
    for name in ("setup.py", "README.md"):
        (home / name).touch()
    assert shlex.split(install_command("amqp", home))[-1] == f"{home}[amqp]"


def test_installed_from_a_wheel_a_checkout_is_asked_for(tmp_path: Path) -> None:
    words = install_command("mysql", tmp_path)
    assert words.endswith("-m pip install '.[mysql]' in a checkout of its sources")
