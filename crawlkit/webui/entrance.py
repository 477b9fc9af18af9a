"""The gate as the options of `crawlkit webui` want it, or a refusal in words. Closed by default."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawlkit.libs.errors import UsageError
from crawlkit.libs.passwords import hash_password
from crawlkit.webui.accounts import Accounts
from crawlkit.webui.gatekeeper import Gatekeeper
from crawlkit.webui.hosts import hosts_for, is_loopback, parse_names, parse_networks, parse_prefix


def entrance(accounts: Accounts, host: str, options: Mapping[str, Any]) -> Gatekeeper:
    """The gatekeeper of a server that listens on ``host``. Raises :class:`UsageError`.

    ``options``: ``username``, ``password``, ``need_auth``, ``url_prefix``, and lists ``trusted_proxy``, ``allow_host``.
    """
    username, password = options.get("username") or "", options.get("password") or ""
    if bool(username) != bool(password):
        raise UsageError("web UI: --username and --password belong together: give both, or neither")
    if username:
        accounts.process_user = (username, hash_password(password))
    if options.get("need_auth") and not accounts.exist():
        raise UsageError("web UI: --need-auth, and nobody could come in: give --username and --password,"
                         " or add a user: crawlkit user add NAME")  # fmt: skip
    if not is_loopback(host) and not accounts.exist():
        raise UsageError(
            f"web UI: --host {host} lets others in, and there is no user yet: add one with `crawlkit user add NAME`,"
            " or give --username and --password, or listen on 127.0.0.1"
        )
    return Gatekeeper(
        accounts,
        hosts_for(host, parse_names(options.get("allow_host") or ())),
        parse_prefix(options.get("url_prefix") or ""),
        parse_networks(options.get("trusted_proxy") or ()),
        bool(options.get("need_auth")),
    )


def tls_context(certificate: Path | str | None, key: Path | str | None) -> ssl.SSLContext | None:
    """For HTTPS without a proxy; ``None`` without a certificate. Raises :class:`UsageError`."""
    if not certificate:
        if key:
            raise UsageError("web UI: --tls-key without --tls-cert: give the certificate too")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"web UI: certificate {certificate}: {error}") from None
    return context


def entry_words(accounts: Accounts, url: str) -> str:
    """What is printed when the server is up: a link that lets in once, or where to log in."""
    if accounts.exist():
        return f"web UI: {url}/ (sign in with name and password)"
    return f"web UI: open {url}/?token={accounts.new_link()} (once, within 10 minutes)"
