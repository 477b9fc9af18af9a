"""How an optional part of crawlkit is installed, for error messages: it is on no package index."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]  # of the package: a checkout, or where packages are installed


def install_command(extra: str, home: Path = HOME) -> str:
    """What to type, into this interpreter's environment. From a wheel nobody can say where the checkout is."""
    pip = f"{shlex.quote(sys.executable or 'python')} -m pip install"
    if (home / "setup.py").is_file() and (home / "README.md").is_file():
        return f"{pip} -e {shlex.quote(f'{home}[{extra}]')}"
    return f"{pip} '.[{extra}]' in a checkout of its sources"
