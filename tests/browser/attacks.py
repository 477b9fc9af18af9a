"""A page that tries every way a page has to reach a server inside. Each way asks for a path of its own name."""

from __future__ import annotations

from tests.browser.inner import Outer, reply

#: Ways that Chromium takes when nobody hinders it: the test without a guard sees each of them arrive.
ELEMENTS = {
    "img": '<img src="{}">',
    "srcset": '<img srcset="{} 1x">',
    "picture": '<picture><source srcset="{}"><img></picture>',
    "input": '<input type="image" src="{}">',
    "script": '<script src="{}"></script>',
    "module": '<script type="module" src="{}"></script>',
    "style": '<link rel="stylesheet" href="{}">',
    "import": "<style>@import '{}';</style>",
    "background": "<style>body {{ background: url({}) }}</style>",
    "font": "<style>@font-face {{ font-family: f; src: url({}) }} p {{ font-family: f }}</style><p>text",
    "iframe": '<iframe src="{}"></iframe>',
    "object": '<object data="{}"></object>',
    "embed": '<embed src="{}">',
    "video": '<video src="{}" preload="auto"></video>',
    "audio": '<audio src="{}" preload="auto"></audio>',
    "poster": '<video poster="{}"></video>',
    "prefetch": '<link rel="prefetch" href="{}">',
    "preload": '<link rel="preload" as="image" href="{}">',
    "modulepreload": '<link rel="modulepreload" href="{}">',
    "svg": '<svg><image href="{}" width="9" height="9"/></svg>',
    "srcdoc": '<iframe srcdoc="<img src=&quot;{}&quot;>"></iframe>',
    "sandbox": '<iframe sandbox="allow-scripts" srcdoc="<script>fetch(&quot;{}&quot;)</script>"></iframe>',
    "refresh": '<iframe srcdoc="<meta http-equiv=refresh content=&quot;0;url={}&quot;>"></iframe>',
    "form": '<iframe name="f"></iframe><form id="f1" method="post" action="{}" target="f"></form>'
            "<script>f1.submit()</script>",
    "get": '<iframe name="g"></iframe><form id="g1" action="{}" target="g"></form><script>g1.submit()</script>',
    "download": '<iframe srcdoc="<a id=a download href=&quot;{}&quot;>x</a><script>a.click()</script>"></iframe>',
    "base": '<iframe srcdoc="<base href=&quot;{}&quot;><script src=base></script>"></iframe>',
}  # fmt: skip
SCRIPTS = {
    "fetch": "fetch({}).catch(nothing)",
    "no-cors": "fetch({}, {{mode: 'no-cors'}}).catch(nothing)",
    "keepalive": "fetch({}, {{keepalive: true, mode: 'no-cors'}}).catch(nothing)",
    "post": "fetch({}, {{method: 'POST', body: 'x', mode: 'no-cors'}}).catch(nothing)",
    "preflight": "fetch({}, {{method: 'PUT', headers: {{'X-A': '1'}}}}).catch(nothing)",
    "xhr": "x = new XMLHttpRequest(); x.open('GET', {}); x.send()",
    "sync": "try {{ y = new XMLHttpRequest(); y.open('GET', {}, false); y.send() }} catch (e) {{ nothing() }}",
    "events": "new EventSource({})",
    "beacon": "navigator.sendBeacon({}, 'x')",
    "websocket": "new WebSocket({}.replace('http', 'ws'))",
    "image": "new Image().src = {}",
    "dynamic": "import({}).catch(nothing)",
    "open": "window.open({})",
    "worker": "new Worker(text(`fetch(${{JSON.stringify({})}})`))",
    "importscripts": "new Worker(text(`importScripts(${{JSON.stringify({})}})`))",
    "worker-socket": "new Worker(text(`new WebSocket(${{JSON.stringify({})}}.replace('http', 'ws'))`))",
    "shared": "new SharedWorker(text(`fetch(${{JSON.stringify({})}})`))",
    "blob": "frame(text(`<script>fetch(${{JSON.stringify({})}})</` + `script>`, 'text/html'))",
    "worklet": "new OfflineAudioContext(1, 1, 8000).audioWorklet.addModule({}).catch(nothing)",
    "paint": "CSS.paintWorklet.addModule({}).catch(nothing)",
    "fontface": "new FontFace('g', `url(${{{}}})`).load().catch(nothing)",
    "location": "frame('about:blank').contentWindow.location = {}",
    "cache": "caches.open('c').then(c => c.add({})).catch(nothing)",
}
#: Ways that go out by redirects of a public answer, by headers, by a service worker.
ELSEWHERE = ("redirect-img", "redirect-fetch", "redirect-frame", "redirect-chain", "redirect-307", "redirect-worker",
             "link-header", "refresh-header", "csp-report", "service-worker", "service-install",
             "js-redirect")  # fmt: skip
#: Ways of which nothing comes to a server, or only by chance: they are tried, and must not arrive.
TRIED = {
    "icon": '<link rel="icon" href="{}">',
    "manifest": '<link rel="manifest" href="{}">',
    "preconnect": '<link rel="preconnect" href="{}">',
    "dns-prefetch": '<link rel="dns-prefetch" href="{}">',
    "prerender": '<link rel="prerender" href="{}">',
    "track": '<video><track default src="{}"></video>',
    "ping": '<a id="p" ping="{}" href="#x">x</a><script>p.click()</script>',
    "attribution": '<img attributionsrc="{}">',
    "speculation": '<script type="speculationrules">{{"prefetch": [{{"source": "list", "urls": ["{}"]}}],'
                   ' "prerender": [{{"source": "list", "urls": ["{}"]}}]}}</script>',
    "xslt": '<iframe src="data:text/xml,<?xml-stylesheet type=&quot;text/xsl&quot; href=&quot;{}&quot;?><a/>">'
            "</iframe>",
}  # fmt: skip
TRIED_SCRIPTS = {
    "stun": "new RTCPeerConnection({{iceServers: [{{urls: 'stun:' + hostport({})}}]}}).createDataChannel('x')",
    "turn": "rtc({{iceServers: [{{urls: ['turn:' + hostport({0}) + '?transport=udp',"
            " 'turn:' + hostport({0}) + '?transport=tcp'], username: 'u', credential: 'p'}}]}})",
    "peer": "peer({})",
    "webtransport": "try {{ new WebTransport({}.replace('http:', 'https:')).ready.catch(nothing) }}"
                    " catch (e) {{ nothing() }}",
    "later": "try {{ fetchLater({}, {{activateAfter: 0}}) }} catch (e) {{ nothing() }}",
    "tcp": "try {{ new TCPSocket(hostport({}).split(':')[0], +hostport({}).split(':')[1]) }} catch (e) {{ nothing() }}",
}  # fmt: skip
#: Of these, what arrives from a Chromium that nobody restrains; the rest it does not do for a page like this one.
UNRESTRAINED = ("ping", "speculation", "later", "stun-packet", "quic-packet")
ARRIVING = frozenset({*ELEMENTS, *SCRIPTS, *ELSEWHERE})

_HELP = """
const nothing = () => 0, hostport = url => new URL(url).host;
const text = (code, type) => URL.createObjectURL(new Blob([code], {type: type || 'text/javascript'}));
const frame = url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f); return f };
const rtc = options => { const c = new RTCPeerConnection(options); c.createDataChannel('x');
  c.createOffer().then(o => c.setLocalDescription(o)); return c };
const peer = async url => { const [host, port] = hostport(url).split(':'); const c = rtc({});
  const far = new RTCPeerConnection(); await c.createOffer().then(o => far.setRemoteDescription(o));
  const answer = await far.createAnswer(); await c.setRemoteDescription(answer);
  for (const kind of ['udp', 'tcp']) await c.addIceCandidate({sdpMid: '0', candidate:
    `candidate:1 1 ${kind} 2113937151 ${host} ${port} typ host${kind == 'tcp' ? ' tcptype passive' : ''}`}) };
window.onerror = () => true; window.onunhandledrejection = event => event.preventDefault();
"""


def build(site: Outer, base: str) -> None:
    """Puts the page ``/attack`` on a site; ``base``: the URL of the server inside, without a path."""
    pages = site.pages
    lines = [f"<!doctype html><title>attack</title><body><script>{_HELP}</script>"]
    for name, element in {**ELEMENTS, **TRIED}.items():
        lines.append(element.format(*[f"{base}/{name}"] * element.count("{}")))
    for name, script in {**SCRIPTS, **TRIED_SCRIPTS}.items():
        lines.append("<script>" + script.format(*[f"'{base}/{name}'"] * max(1, script.count("{}"))) + "</script>")
    lines.append("""
        <img src="/to/redirect-img"><iframe src="/to/redirect-frame"></iframe><img src="/to/chain">
        <iframe src="/reports"></iframe><iframe src="/refresh"></iframe>
        <script>fetch('/to/redirect-fetch').catch(nothing); fetch('/to307', {method: 'POST', body: 'x'}).catch(nothing);
        new Worker('/worker.js');
        navigator.serviceWorker?.register('/service.js').then(r => navigator.serviceWorker.ready)
          .then(r => r.active.postMessage('go'));
        frame('/leave')
        </script>""")
    pages["/attack"] = reply("\n".join(lines), Link=f"<{base}/link-header>; rel=preload; as=image")
    for name in ("redirect-img", "redirect-fetch", "redirect-frame", "redirect-chain", "redirect-worker"):
        pages[f"/to/{name}"] = reply("", status="302 Found", Location=f"{base}/{name}")
    pages["/to/chain"] = reply("", status="301 Moved", Location="/to/redirect-chain")
    pages["/to307"] = reply("", status="307 x", Location=f"{base}/redirect-307")
    pages["/refresh"] = reply("", Refresh=f"0; url={base}/refresh-header")
    pages["/leave"] = reply(f"<script>location.replace('{base}/js-redirect')</script>")
    policy = f"img-src 'none'; report-uri {base}/csp-report"
    pages["/reports"] = reply('<img src="/blocked">', Content_Security_Policy=policy)
    pages["/worker.js"] = reply("fetch('/to/redirect-worker')", "text/javascript")
    pages["/service.js"] = reply(
        f"addEventListener('install', e => e.waitUntil(fetch('{base}/service-install', {{mode: 'no-cors'}})"
        f".catch(() => 0))); addEventListener('message', () => fetch('{base}/service-worker', {{mode: 'no-cors'}}));",
        "text/javascript",
    )
