"""Pages that are something only in a browser, one for each argument of a rendered fetch, and who asked for them."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

PAGES = {
    "/wait": """<ul id="list"></ul><script>
        setTimeout(async () => {
          for (const name of await (await fetch('/api/things')).json())
            document.getElementById('list').insertAdjacentHTML('beforeend', `<li>${name}</li>`);
          document.body.insertAdjacentHTML('beforeend', '<p class="ready">all there</p>');
          window.done = true;
        }, 700);
        </script>""",
    "/late": """<p id="clock">early</p><script>
        addEventListener('load', () => setTimeout(() => { clock.textContent = 'late' }, 1500));
        </script>""",
    "/act": """<style>body { margin: 0 } #tail { height: 900px }</style>
        <button id="more">more</button> <input id="q"> <select id="n"><option>1<option value="nine">9</select>
        <b id="menu">menu</b><ol id="did"></ol><div id="feed"></div><div id="tail"></div><script>
        const did = (what) => document.getElementById('did').insertAdjacentHTML('beforeend', `<li>${what}</li>`);
        const at = (id, event, call) => document.getElementById(id).addEventListener(event, call);
        at('more', 'click', () => setTimeout(() => did('clicked'), 200));
        at('q', 'keydown', (event) => event.key === 'Enter' && did('asked for ' + event.target.value));
        at('n', 'change', (event) => did('chose ' + event.target.value));
        at('menu', 'mouseover', () => did('hovered'));
        let pages = 0;
        addEventListener('scroll', () => {
          if (pages < 4 && innerHeight + scrollY >= document.body.scrollHeight - 5) {
            pages++; did('page ' + pages);
            document.getElementById('feed').insertAdjacentHTML('beforeend', '<p style="height:2500px">more</p>');
          }
        });
        </script>""",
    "/heavy": """<link rel="stylesheet" href="/style.css"><img src="/picture.png"><video src="/film.mp4"></video>
        <style>@font-face { font-family: f; src: url(/font.woff2) } p { font-family: f }</style><p>text</p>
        <script src="/ads/banner.js"></script><script src="/good.js"></script>
        <i id="got"></i><script>got.textContent = `${window.banner || 'none'} ${window.good}`</script>""",
    "/picture": """<style>body { margin: 0; height: 4000px } #chart { width: 300px; height: 200px }</style>
        <div id="chart"></div>""",
    "/world": """<pre id="said"></pre><script>
        (async () => {
          const asked = new Promise((yes, no) => navigator.geolocation.getCurrentPosition(yes, no));
          const where = await asked.catch((error) => error);
          document.getElementById('said').textContent = JSON.stringify({
            language: navigator.language, zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
            place: where.message || [where.coords.latitude, where.coords.longitude, where.coords.accuracy],
            width: innerWidth, height: innerHeight, agent: navigator.userAgent,
          });
        })();
        console.log('hello from', location.pathname);
        </script>""",
    "/session": """<pre id="said"></pre><script>
        const n = Number(localStorage.getItem('visits') || 0) + 1;
        localStorage.setItem('visits', n);
        document.cookie = 'script=s' + n + '; path=/; SameSite=Strict';
        document.getElementById('said').textContent = n;
        </script>""",
    "/get": """<a id="get" href="/bare" download="named by the page.csv">report</a>
        <button id="late" onclick="setTimeout(() => location = '/made', 300)">make</button>
        <button id="blob">blob</button><script>blob.onclick = () => {
          const url = URL.createObjectURL(new Blob(['made of nothing']));
          Object.assign(document.createElement('a'), { href: url, download: 'made here.txt' }).click();
        }</script>""",
    "/scripted": "<p id='n'>1</p>",
    "/dialog": "<script>alert('stop'); confirm('really?')</script><p>after</p>",
    "/headers": """<pre id="first"></pre><pre id="second"></pre><script>
        document.getElementById('first').textContent = decodeURIComponent('HEADERS');
        fetch('/echo').then((r) => r.text()).then((text) => { document.getElementById('second').textContent = text });
        </script>""",
}
FILES = {
    "/style.css": ("text/css", b"p { color: red }"),
    "/picture.png": ("image/png", b"\x89PNG\r\n\x1a\n"),
    "/film.mp4": ("video/mp4", b"\0" * 10),
    "/font.woff2": ("font/woff2", b"\0" * 10),
    "/ads/banner.js": ("text/javascript", b"window.banner = 'BUY'"),
    "/good.js": ("text/javascript", b"window.good = 'good'"),
    "/api/things": ("application/json", json.dumps(["tea", "cake", "milk"]).encode()),
}
REPORT = b"name;price\n" + b"tea;3.50\n" * 400_000  # 3.6 MB


class RenderedSite:
    """``asked``: (path, headers) of each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path, _, _ = self.path.partition("?")
                site.asked.append((self.path, dict(self.headers)))
                if path == "/hang":
                    site.over.wait(30)
                more: dict[str, str] = {}
                status, kind, body = 200, "text/html; charset=utf-8", b""
                if path in PAGES:
                    text = PAGES[path]
                    if path == "/headers":
                        text = text.replace("HEADERS", self.headers.get("X-First", "none"))
                    body = f"<!doctype html><title>{path}</title><body>{text}".encode()
                    if path == "/session":
                        more["Set-Cookie"] = "server=yes; Path=/; HttpOnly; Max-Age=3600"
                elif path in FILES:
                    kind, body = FILES[path]
                elif path == "/echo":
                    kind, body = "text/plain", self.headers.get("X-First", "none").encode()
                elif path == "/cookies":
                    kind, body = "text/plain", self.headers.get("Cookie", "none").encode()
                elif path == "/bare":
                    kind, body = "text/csv", REPORT
                elif path == "/made":
                    kind, body = "text/csv", REPORT
                    more["Content-Disposition"] = "attachment; filename*=UTF-8''b%C3%A9richt.csv"
                else:
                    status, body = 404, b"there is nothing here"
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.over = threading.Event()

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A browser that goes away in the middle is no mistake of the site's."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def asked_by(self, case: str) -> list[str]:
        """Paths that the page of a case (``?case``) asked for, by the Referer."""
        return [path for path, headers in self.asked if headers.get("Referer", "").endswith(f"?{case}")]

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
