"""``crawlkit fetch`` and ``crawlkit shell``: one page through crawlkit's own fetcher, without scheduler or stores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from crawlkit.cli.base import command, component_options, option, say, settings_of
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.libs.messages import Fetched
    from crawlkit.libs.task import Fetch

HEAD = 1_000  # characters of the body that fetch shows


def request_options(function: Any) -> Any:
    """The options of a single request."""
    for decorate in reversed(
        (
            click.argument("url"),
            option("-X", "--method", default="GET", show_default=True, help="The HTTP method."),
            option(
                "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may be repeated."
            ),
            option("-d", "--data", help="The body; makes the method POST unless it is said."),
            option("-A", "--user-agent", help="The User-Agent header."),
            option("--proxy", help="scheme://user:password@host:port"),
            option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for the whole fetch."),
            option("--no-redirects", is_flag=True, help="Show a redirect instead of following it."),
            option("--insecure", is_flag=True, help="Do not check the certificate."),
            option("--browser", is_flag=True, help="Render the page in a browser."),
            option(
                "--wait-for",
                multiple=True,
                metavar="WHAT",
                help="In a browser: a CSS selector, seconds, networkidle or a function; may be repeated.",
            ),
            option(
                "--screenshot",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Write a picture of the whole page to this file (.png or .jpg).",
            ),
            option(
                "--pdf", type=click.Path(dir_okay=False, path_type=Path), help="Write the page as PDF to this file."
            ),
            option(
                "--arg",
                "args",
                multiple=True,
                metavar="NAME=VALUE",
                help="Any other argument of self.fetch; VALUE is JSON or a text.",
            ),
        )
    ):
        function = decorate(function)
    return function


@command(
    name="fetch",
    example="crawlkit fetch https://example.com/ -H 'Accept-Language: fr'\n"
    "crawlkit fetch https://example.com/ --browser --wait-for h1 --screenshot page.png",
)
@request_options
@option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@option("--body", "body_only", is_flag=True, help="Only the whole body, as it came.")
@click.pass_context
def fetch(ctx: click.Context, /, as_json: bool, body_only: bool, **request: Any) -> int:
    """Show what the fetcher sees at URL. Exits 1 when no answer came."""
    fetched = fetch_one(ctx, **request)
    if as_json:
        click.echo(json.dumps(as_dict(fetched), ensure_ascii=False))
    elif body_only:
        sys.stdout.buffer.write(fetched.content)
        sys.stdout.buffer.flush()
    else:
        show(fetched)
    return 1 if fetched.error_kind else 0


@command(name="shell", example="crawlkit shell https://example.com/\n>>> response.doc('title').text()")
@request_options
@option("-c", "--code", help="Run this instead of reading from the keyboard.")
@click.pass_context
def shell(ctx: click.Context, /, code: str | None, **request: Any) -> int:
    """Open a Python prompt with the response of URL as `response`; fetch(url) gets another."""
    from crawlkit.libs.response import Response

    def again(url: str, **changes: Any) -> Any:
        return Response.of(fetch_one(ctx, **{**request, "url": url, **changes}))

    response = again(request["url"])
    names = {"response": response, "fetch": again}
    if code is not None:
        exec(compile(code, "<code>", "exec"), {"__name__": "__console__", **names})
        return 0
    say(f"response: {response.status_code} {response.url}, {len(response.content)} bytes in {response.time:.3f} s"
        + (f", {response.error}" if response.error else ""))  # fmt: skip
    prompt(names, "response.doc, response.css, response.json, response.text; fetch(url) gets another page")
    return 0


def prompt(names: dict[str, Any], banner: str) -> None:
    """IPython when it is installed, else Python's own prompt."""
    try:
        from IPython import start_ipython  # type: ignore[import-not-found]
    except ImportError:
        import code
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - gives the prompt a history
        code.interact(banner=banner, local=names, exitmsg="")
    else:
        say(banner)
        start_ipython(argv=["--no-banner"], user_ns=names)


def fetch_one(
    ctx: click.Context,
    url: str,
    method: str = "GET",
    headers: tuple[str, ...] = (),
    data: str | None = None,
    user_agent: str | None = None,
    proxy: str | None = None,
    timeout: float | None = None,
    no_redirects: bool = False,
    insecure: bool = False,
    browser: bool = False,
    wait_for: tuple[str, ...] = (),
    screenshot: Path | None = None,
    pdf: Path | None = None,
    args: tuple[str, ...] = (),
) -> Fetched:
    """One request through the fetcher; the files of a browser are in their places then."""
    import asyncio
    import tempfile

    from crawlkit import wiring
    from crawlkit.libs.task import Fetch
    from crawlkit.libs.url import has_scheme, task_url

    if not has_scheme(url):
        url = f"http://{url}"
    if data is not None and method == "GET":
        method = "POST"
    said: dict[str, Any] = {
        "method": method,
        "headers": dict(_header(text) for text in headers) or None,
        "data": data,
        "user_agent": user_agent,
        "proxy": proxy,
        "timeout": timeout,
        "allow_redirects": False if no_redirects else None,
        "validate_cert": False if insecure else None,
        "wait_for": list(wait_for) or None,
        "screenshot": _shot(screenshot),
        "pdf": True if pdf is not None else None,
        "fetch_type": "browser" if browser or wait_for or screenshot or pdf else None,
        **dict(map(_argument, args)),
    }
    wanted = msgspec.structs.replace(_checked(said) or Fetch(), etag=False, last_modified=False)
    found = wiring.browser_endpoint(settings_of(ctx), component_options(ctx, "fetcher"))
    own = component_options(ctx, "browser")
    with tempfile.TemporaryDirectory(prefix="crawlkit-") as folder:
        fetched = asyncio.run(wiring.fetch_once(task_url(url), wanted, folder=folder, browser=found, own=own))
        for name, path in (("screenshot", screenshot), ("pdf", pdf)):
            file = (fetched.rendered or {}).get(name)
            if path is not None and file is not None:
                _write(path, Path(file["path"]).read_bytes())
                fetched.rendered = {**(fetched.rendered or {}), name: {**file, "path": str(path)}}
    return fetched


def _checked(said: dict[str, Any]) -> Fetch | None:
    from crawlkit.libs import crawl_args
    from crawlkit.libs.errors import InvalidTask

    try:
        crawl_args.check_names(said, "fetch", crawl_args.KNOWN_TO_FETCH)
        crawl_args.check_fetch_type(said, {})
        return crawl_args.parts_of(said)[1]
    except (InvalidTask, TypeError) as error:
        raise UsageError(str(error)) from None


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--arg {text!r}: write it as NAME=VALUE")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _shot(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    kind = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"--screenshot {path}: the file's name says its kind: use .png or .jpg")
    return {"of": "full", "type": kind}


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"header {text!r}: write it as 'Name: value'")
    return name.strip(), value.strip()


def as_dict(fetched: Fetched) -> dict[str, Any]:
    """What came, as JSON can say it: a body that is not text is given in base64."""
    import base64

    from crawlkit.libs.response import Response

    body: dict[str, str]
    if b"\0" in fetched.content:
        body = {"base64": base64.b64encode(fetched.content).decode()}
    else:
        body = {"text": Response.of(fetched).text}
    return {
        "status_code": fetched.status_code,
        "url": fetched.url,
        "orig_url": fetched.orig_url,
        "headers": [list(pair) for pair in fetched.headers],
        "cookies": fetched.cookies,
        "time": fetched.time,
        "history": [list(step) for step in fetched.history],
        "error": fetched.error,
        "error_kind": fetched.error_kind,
        "size": fetched.size,
        "body": body,
        **({} if fetched.rendered is None else {"rendered": fetched.rendered}),
    }


def show(fetched: Fetched) -> None:
    """Status, redirects, headers, timing and the head of the body."""
    from crawlkit.libs.response import Response

    for status, url in fetched.history:
        click.echo(f"{status} {url}")
    click.echo(f"{fetched.status_code} {fetched.url}")
    if fetched.error:
        click.echo(f"error: {fetched.error}" + (f" ({fetched.error_kind})" if fetched.error_kind else ""))
    click.echo(f"time: {fetched.time:.3f} s")
    click.echo(f"size: {fetched.size} bytes")
    click.echo("")
    for name, value in fetched.headers:
        click.echo(f"{name}: {value}")
    for name, value in fetched.cookies.items():
        click.echo(f"(cookie) {name}={value}")
    for line in (fetched.rendered or {}).get("console", ()):
        click.echo(f"(console) {line}")
    if not fetched.content:
        return
    click.echo("")
    if b"\0" in fetched.content[:HEAD]:
        click.echo(f"(binary: {fetched.content[:32].hex(' ')} ...)")
        return
    text = Response.of(fetched).text
    click.echo(text[:HEAD].rstrip())
    if len(text) > HEAD:
        click.echo(f"... {len(text) - HEAD} characters more; --body prints all of it")
