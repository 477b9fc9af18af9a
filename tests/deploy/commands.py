"""Whether a command line that a manifest starts is one of crawlkit's: parsed by its own parser, and not run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from crawlkit.cli import cli
from crawlkit.cli.base import schema_of

DEPLOY = Path(__file__).parents[2] / "deploy"


def parses(words: Sequence[str]) -> str:
    """The name of the command; raises what a person would be told."""
    with cli.make_context("crawlkit", list(words)) as ctx:
        name, *rest = [*ctx._protected_args, *ctx.args]
        command = cli.get_command(ctx, name)
        assert command is not None, f"there is no command {name}"
        with command.make_context(name, rest, parent=ctx):
            return name


def known_variables(names: Mapping[str, object]) -> list[str]:
    """Of variables that begin with CRAWLKIT_ those that no option has."""
    from crawlkit.cli.base import unknown_variables

    ctx = click.Context(cli, info_name="crawlkit")
    own = {f"CRAWLKIT_{(param.name or '').upper()}" for param in cli.params}
    ours = {name for name in names if name.startswith("CRAWLKIT_")} - own
    return list(unknown_variables(ours, schema_of(cli, ctx))) if ours else []


def variables_of(file: Path) -> dict[str, str]:
    """What an env file sets."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def run(argv: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env}, cwd=DEPLOY, timeout=60)
