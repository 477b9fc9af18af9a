"""Backends that other packages bring: found by entry points, loaded when a URL asks for one.

A group is ``crawlkit.message_queues`` or ``crawlkit.taskdbs``, ``.projectdbs``, ``.resultdbs`` and so on; a name in it
is the scheme of a URL; its value takes the URL and the keywords of crawlkit's own backends.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from crawlkit.libs.errors import CrawlkitError, UsageError


def names(group: str) -> list[str]:
    """The schemes that installed packages bring."""
    return sorted({found.name for found in entry_points(group=group)})


def connect(group: str, scheme: str, url: object, /, **options: Any) -> Any | None:
    """What the plug-in for ``scheme`` makes of ``url``; None when no package brings one.

    Raises :class:`UsageError` that names the package when it does not load, or fails with something else than an error
    of crawlkit's. The URL is not repeated: a password may stand in it.
    """
    found = list(entry_points(group=group, name=scheme))
    if not found:
        return None
    if len({one.value for one in found}) > 1:
        who = " and ".join(sorted(map(_package, found)))
        raise UsageError(f"{scheme}:// is brought by {who} (entry points {group}): uninstall one of them")
    plugin = found[0]
    try:
        make = plugin.load()
    except Exception as error:  # whatever its import does
        raise UsageError(f"{_words(plugin, 'does not load')}: {_short(error)}: mend or uninstall it") from error
    try:
        return make(url, **options)
    except CrawlkitError:
        raise
    except Exception as error:  # a fault of the package's, not of the user's
        raise UsageError(f"{_words(plugin, 'fails on this URL')}: {_short(error)}") from error


def check(backend: Any, needs: Iterable[str], group: str, name: str) -> None:
    """Raises :class:`UsageError` when what a plug-in made lacks one of the methods ``needs``."""
    missing = [need for need in needs if not callable(getattr(backend, need, None))]
    if missing:
        plugin = next(iter(entry_points(group=group, name=name)))
        raise UsageError(f"{_words(plugin, 'is not whole')}: it has no {', '.join(missing)}; see docs/plugins.md")


def _package(plugin: EntryPoint) -> str:
    return f"{plugin.dist.name} {plugin.dist.version}" if plugin.dist is not None else plugin.value


def _words(plugin: EntryPoint, what: str) -> str:
    return f"{plugin.name}:// of the package {_package(plugin)} ({plugin.value}, entry points {plugin.group}) {what}"


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
