"""What ``self.crawl`` makes of its arguments: calls, and the task that each comes to, written out.

The taskids are the identities that stored tasks have: a change here orphans every task in every store.
"""

# ruff: noqa: E501 - one row of the table is one line
from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawlkit import BaseHandler, Response, config
from crawlkit.libs.browse import Browse
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawl_args import CrawlArgs
from crawlkit.libs.crawler import Crawler
from crawlkit.libs.task import Fetch, Process, Schedule, Task, check_task

PAGE = "http://a.com/dir/page.html?x=1"


class Plain(BaseHandler):
    def page(self, response: Response) -> None: ...


class Shop(BaseHandler):
    crawl_config = {
        "headers": {"A": "project", "B": "project"},
        "cookies": {"p": "1"},
        "priority": 1,
        "itag": "v1",
        "timeout": 30,
    }

    def page(self, response: Response) -> None: ...

    @config(priority=2, age=10, headers={"B": "config", "C": "config"}, cookies={"c": "2"}, process_time_limit=5)
    def item(self, response: Response) -> None: ...

    @config(data={"a": 1}, method="PUT")
    def sends(self, response: Response) -> None: ...


class Rendered(BaseHandler):
    crawl_config = {"fetch_type": "browser"}


class Call:
    """A call of ``self.crawl``: the handler's class and the arguments."""

    def __init__(self, handler: type[BaseHandler], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.handler, self.args, self.kwargs = handler, args, kwargs

    def __repr__(self) -> str:
        return f"{self.handler.__name__} {self.args} {self.kwargs}"


def call(*args: Any, **kwargs: Any) -> Call:
    if isinstance(args[0], type):
        return Call(args[0], args[1:], kwargs)
    return Call(Plain, args, kwargs)


def task(
    url: str,
    taskid: str,
    schedule: dict[str, Any] | None = None,
    fetch: dict[str, Any] | None = None,
    process: dict[str, Any] | None = None,
) -> Task:
    """``None``: nothing was said of that part."""
    return Task(
        "shop",
        taskid,
        url,
        None if schedule is None else Schedule(**schedule),
        None if fetch is None else Fetch(**fetch),
        None if process is None else Process(**process),
    )


# fmt: off
ROWS: list[tuple[Call, Task]] = [
    # nothing, then every argument alone
    (call('http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('http://a.com/', callback=Plain.page), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', process={'callback': 'page'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2')),
    (call('http://a.com/', data={'k': 'v w'}), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', method='put'), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT'})),
    (call('http://a.com/', headers={'X-A': 'b'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}})),
    (call('http://a.com/', user_agent='UA/1'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1'})),
    (call('http://a.com/', cookies={'c': '1'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'c': '1'}})),
    (call('http://a.com/', save={'n': [1, None]}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'save': {'n': [1, None]}})),
    (call('http://a.com/', taskid='mine'), task('http://a.com/', 'mine')),
    (call('http://a.com/', priority=3), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3})),
    (call('http://a.com/', age=60), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0})),
    (call('http://a.com/', itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'})),
    (call('http://a.com/', etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'etag': False})),
    (call('http://a.com/', proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'session': 'login'})),
    (call('http://a.com/', fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'fetch_type': 'js'})),
    (call('http://a.com/', timeout=3), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'timeout': 3.0})),
    (call('http://a.com/', connect_timeout=1.5), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'connect_timeout': 1.5})),
    (call('http://a.com/', use_gzip=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'use_gzip': False})),
    (call('http://a.com/', validate_cert=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'validate_cert': False})),
    (call('http://a.com/', allow_redirects=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'allow_redirects': False})),
    (call('http://a.com/', max_redirects=9), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'max_redirects': 9})),
    (call('http://a.com/', robots_txt=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'robots_txt': True})),
    (call('http://a.com/', last_modified='Sat, 29 Oct 1994 19:43:31 GMT'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'last_modified': 'Sat, 29 Oct 1994 19:43:31 GMT'})),
    (call('http://a.com/', last_modifed=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'last_modified': False})),
    (call('http://a.com/', max_size=1000), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'max_size': 1000})),
    (call('http://a.com/', js_script='function() {}'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'js_script': 'function() {}'})),
    (call('http://a.com/', js_run_at='document-start'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'js_run_at': 'document-start'})),
    (call('http://a.com/', js_viewport_width=800), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'js_viewport_width': 800})),
    (call('http://a.com/', js_viewport_height=600), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'js_viewport_height': 600})),
    (call('http://a.com/', load_images=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'load_images': True})),
    (call('http://a.com/', process_time_limit=7), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', process={'process_time_limit': 7.0})),
    (call('http://a.com/', exetime=1700000000), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'exetime': 1700000000.0})),
    (call('http://a.com/', retries=0), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'retries': 0})),
    (call('http://a.com/', auto_recrawl=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'auto_recrawl': True})),
    (call('http://a.com/', force_update=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'force_update': True})),
    (call('http://a.com/', cancel=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'cancel': True})),
    # what only a browser does, where the project says that pages are for one
    (call(Rendered, 'http://a.com/', wait_for='#list'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(wait_for=[{'selector': '#list', 'state': 'visible'}])})),
    (call(Rendered, 'http://a.com/', js_actions=[{'click': '#more'}]), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(actions=[{'click': '#more'}])})),
    (call(Rendered, 'http://a.com/', block=['images', '*.ads.net*']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(block=['images', '*.ads.net*'])})),
    (call(Rendered, 'http://a.com/', screenshot=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(screenshot={'of': 'page', 'type': 'png'})})),
    (call(Rendered, 'http://a.com/', pdf=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(pdf={'format': 'A4', 'landscape': False, 'background': True})})),
    (call(Rendered, 'http://a.com/', capture_xhr=True), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(xhr=['*'])})),
    (call(Rendered, 'http://a.com/', first_headers={'Referer': 'http://b.com/'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(first_headers={'Referer': 'http://b.com/'})})),
    (call(Rendered, 'http://a.com/', locale='de_DE'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(locale='de-DE')})),
    (call(Rendered, 'http://a.com/', timezone='Europe/Berlin'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(timezone='Europe/Berlin')})),
    (call(Rendered, 'http://a.com/', geolocation=(52.5, 13)), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'browser': Browse(geolocation={'latitude': 52.5, 'longitude': 13.0})})),
    (call('http://a.com/', fetch_type='browser', wait_for=2), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'fetch_type': 'browser', 'browser': Browse(wait_for=[{'seconds': 2.0}])})),
    # in pairs
    (call('http://a.com/', callback=Plain.page, params={'q': 'a b', 'n': [1, 2]}), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, data={'k': 'v w'}), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, files={'f': ('n.txt', b'\xff\x00')}), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, method='put'), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT'}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, headers={'X-A': 'b'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, user_agent='UA/1'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1'}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, cookies={'c': '1'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'c': '1'}}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, save={'n': [1, None]}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'save': {'n': [1, None]}}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, taskid='mine'), task('http://a.com/', 'mine', process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, priority=3), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, age=60), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'etag': False}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': ['h1:1', 'h2:2']}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'session': 'login'}, process={'callback': 'page'})),
    (call('http://a.com/', callback=Plain.page, fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'fetch_type': 'js'}, process={'callback': 'page'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, data={'k': 'v w'}), task('http://a.com/?q=a+b&n=1&n=2', 'b32770aab329795ca33cc94086933aea', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, files={'f': ('n.txt', b'\xff\x00')}), task('http://a.com/?q=a+b&n=1&n=2', 'ac48df3491638545b4350f3106d0e0be', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, method='put'), task('http://a.com/?q=a+b&n=1&n=2', 'e1abda243be9fd19402c04e121d15305', fetch={'method': 'PUT'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, headers={'X-A': 'b'}), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'headers': {'X-A': 'b'}})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, user_agent='UA/1'), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'user_agent': 'UA/1'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, cookies={'c': '1'}), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'cookies': {'c': '1'}})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, save={'n': [1, None]}), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'save': {'n': [1, None]}})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, taskid='mine'), task('http://a.com/?q=a+b&n=1&n=2', 'mine')),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, priority=3), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', schedule={'priority': 3})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, age=60), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', schedule={'age': 60.0})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, itag='v2'), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', schedule={'itag': 'v2'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, etag=False), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'etag': False})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, proxy=['h1:1', 'h2:2']), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, session='login'), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'session': 'login'})),
    (call('http://a.com/', params={'q': 'a b', 'n': [1, 2]}, fetch_type='js'), task('http://a.com/?q=a+b&n=1&n=2', '9465e74468a42630c9a54274afcab3c2', fetch={'fetch_type': 'js'})),
    (call('http://a.com/', data={'k': 'v w'}, files={'f': ('n.txt', b'\xff\x00')}), task('http://a.com/', 'f906f3d0d6087bff413eed1a128b8189', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkit54b4330948c162f1591ff0598b2ffb55'}, 'data': b'------crawlkit54b4330948c162f1591ff0598b2ffb55\r\nContent-Disposition: form-data; name="k"\r\n\r\nv w\r\n------crawlkit54b4330948c162f1591ff0598b2ffb55\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkit54b4330948c162f1591ff0598b2ffb55--\r\n'})),
    (call('http://a.com/', data={'k': 'v w'}, method='put'), task('http://a.com/', 'e6a1e417a1217c187322562564eb8213', fetch={'method': 'PUT', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', data={'k': 'v w'}, headers={'X-A': 'b'}), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'X-A': 'b', 'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', data={'k': 'v w'}, user_agent='UA/1'), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'user_agent': 'UA/1', 'data': b'k=v+w'})),
    (call('http://a.com/', data={'k': 'v w'}, cookies={'c': '1'}), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w', 'cookies': {'c': '1'}})),
    (call('http://a.com/', data={'k': 'v w'}, save={'n': [1, None]}), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w', 'save': {'n': [1, None]}})),
    (call('http://a.com/', data={'k': 'v w'}, taskid='mine'), task('http://a.com/', 'mine', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', data={'k': 'v w'}, priority=3), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', schedule={'priority': 3}, fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', data={'k': 'v w'}, age=60), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', schedule={'age': 60.0}, fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', data={'k': 'v w'}, itag='v2'), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', schedule={'itag': 'v2'}, fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w'})),
    (call('http://a.com/', data={'k': 'v w'}, etag=False), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w', 'etag': False})),
    (call('http://a.com/', data={'k': 'v w'}, proxy=['h1:1', 'h2:2']), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w', 'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', data={'k': 'v w'}, session='login'), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w', 'session': 'login'})),
    (call('http://a.com/', data={'k': 'v w'}, fetch_type='js'), task('http://a.com/', 'dd1201b510c57cdcb102d79433ae40db', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'k=v+w', 'fetch_type': 'js'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, method='put'), task('http://a.com/', '0323a0345be3a8a3a92c3a7622b44f9c', fetch={'method': 'PUT', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, headers={'X-A': 'b'}), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'X-A': 'b', 'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, user_agent='UA/1'), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'user_agent': 'UA/1', 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, cookies={'c': '1'}), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n', 'cookies': {'c': '1'}})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, save={'n': [1, None]}), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n', 'save': {'n': [1, None]}})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, taskid='mine'), task('http://a.com/', 'mine', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, priority=3), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', schedule={'priority': 3}, fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, age=60), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', schedule={'age': 60.0}, fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, itag='v2'), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', schedule={'itag': 'v2'}, fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, etag=False), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n', 'etag': False})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, proxy=['h1:1', 'h2:2']), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n', 'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, session='login'), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n', 'session': 'login'})),
    (call('http://a.com/', files={'f': ('n.txt', b'\xff\x00')}, fetch_type='js'), task('http://a.com/', '86ddc0848fc3f4d0b0964118c76076ac', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkite55c3f323085ad6a52cf0453b895a340'}, 'data': b'------crawlkite55c3f323085ad6a52cf0453b895a340\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n------crawlkite55c3f323085ad6a52cf0453b895a340--\r\n', 'fetch_type': 'js'})),
    (call('http://a.com/', method='put', headers={'X-A': 'b'}), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'headers': {'X-A': 'b'}})),
    (call('http://a.com/', method='put', user_agent='UA/1'), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'user_agent': 'UA/1'})),
    (call('http://a.com/', method='put', cookies={'c': '1'}), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'cookies': {'c': '1'}})),
    (call('http://a.com/', method='put', save={'n': [1, None]}), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'save': {'n': [1, None]}})),
    (call('http://a.com/', method='put', taskid='mine'), task('http://a.com/', 'mine', fetch={'method': 'PUT'})),
    (call('http://a.com/', method='put', priority=3), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', schedule={'priority': 3}, fetch={'method': 'PUT'})),
    (call('http://a.com/', method='put', age=60), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', schedule={'age': 60.0}, fetch={'method': 'PUT'})),
    (call('http://a.com/', method='put', itag='v2'), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', schedule={'itag': 'v2'}, fetch={'method': 'PUT'})),
    (call('http://a.com/', method='put', etag=False), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'etag': False})),
    (call('http://a.com/', method='put', proxy=['h1:1', 'h2:2']), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', method='put', session='login'), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'session': 'login'})),
    (call('http://a.com/', method='put', fetch_type='js'), task('http://a.com/', '56782ad61e1f20cc1c4ccf4b563448af', fetch={'method': 'PUT', 'fetch_type': 'js'})),
    (call('http://a.com/', headers={'X-A': 'b'}, user_agent='UA/1'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}, 'user_agent': 'UA/1'})),
    (call('http://a.com/', headers={'X-A': 'b'}, cookies={'c': '1'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}, 'cookies': {'c': '1'}})),
    (call('http://a.com/', headers={'X-A': 'b'}, save={'n': [1, None]}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}, 'save': {'n': [1, None]}})),
    (call('http://a.com/', headers={'X-A': 'b'}, taskid='mine'), task('http://a.com/', 'mine', fetch={'headers': {'X-A': 'b'}})),
    (call('http://a.com/', headers={'X-A': 'b'}, priority=3), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'headers': {'X-A': 'b'}})),
    (call('http://a.com/', headers={'X-A': 'b'}, age=60), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'headers': {'X-A': 'b'}})),
    (call('http://a.com/', headers={'X-A': 'b'}, itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'headers': {'X-A': 'b'}})),
    (call('http://a.com/', headers={'X-A': 'b'}, etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}, 'etag': False})),
    (call('http://a.com/', headers={'X-A': 'b'}, proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}, 'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', headers={'X-A': 'b'}, session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}, 'session': 'login'})),
    (call('http://a.com/', headers={'X-A': 'b'}, fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'X-A': 'b'}, 'fetch_type': 'js'})),
    (call('http://a.com/', user_agent='UA/1', cookies={'c': '1'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1', 'cookies': {'c': '1'}})),
    (call('http://a.com/', user_agent='UA/1', save={'n': [1, None]}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1', 'save': {'n': [1, None]}})),
    (call('http://a.com/', user_agent='UA/1', taskid='mine'), task('http://a.com/', 'mine', fetch={'user_agent': 'UA/1'})),
    (call('http://a.com/', user_agent='UA/1', priority=3), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'user_agent': 'UA/1'})),
    (call('http://a.com/', user_agent='UA/1', age=60), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'user_agent': 'UA/1'})),
    (call('http://a.com/', user_agent='UA/1', itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'user_agent': 'UA/1'})),
    (call('http://a.com/', user_agent='UA/1', etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1', 'etag': False})),
    (call('http://a.com/', user_agent='UA/1', proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1', 'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', user_agent='UA/1', session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1', 'session': 'login'})),
    (call('http://a.com/', user_agent='UA/1', fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'user_agent': 'UA/1', 'fetch_type': 'js'})),
    (call('http://a.com/', cookies={'c': '1'}, save={'n': [1, None]}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'c': '1'}, 'save': {'n': [1, None]}})),
    (call('http://a.com/', cookies={'c': '1'}, taskid='mine'), task('http://a.com/', 'mine', fetch={'cookies': {'c': '1'}})),
    (call('http://a.com/', cookies={'c': '1'}, priority=3), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'cookies': {'c': '1'}})),
    (call('http://a.com/', cookies={'c': '1'}, age=60), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'cookies': {'c': '1'}})),
    (call('http://a.com/', cookies={'c': '1'}, itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'cookies': {'c': '1'}})),
    (call('http://a.com/', cookies={'c': '1'}, etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'c': '1'}, 'etag': False})),
    (call('http://a.com/', cookies={'c': '1'}, proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'c': '1'}, 'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', cookies={'c': '1'}, session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'c': '1'}, 'session': 'login'})),
    (call('http://a.com/', cookies={'c': '1'}, fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'c': '1'}, 'fetch_type': 'js'})),
    (call('http://a.com/', save={'n': [1, None]}, taskid='mine'), task('http://a.com/', 'mine', fetch={'save': {'n': [1, None]}})),
    (call('http://a.com/', save={'n': [1, None]}, priority=3), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'save': {'n': [1, None]}})),
    (call('http://a.com/', save={'n': [1, None]}, age=60), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'save': {'n': [1, None]}})),
    (call('http://a.com/', save={'n': [1, None]}, itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'save': {'n': [1, None]}})),
    (call('http://a.com/', save={'n': [1, None]}, etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'etag': False, 'save': {'n': [1, None]}})),
    (call('http://a.com/', save={'n': [1, None]}, proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': ['h1:1', 'h2:2'], 'save': {'n': [1, None]}})),
    (call('http://a.com/', save={'n': [1, None]}, session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'save': {'n': [1, None]}, 'session': 'login'})),
    (call('http://a.com/', save={'n': [1, None]}, fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'fetch_type': 'js', 'save': {'n': [1, None]}})),
    (call('http://a.com/', taskid='mine', priority=3), task('http://a.com/', 'mine', schedule={'priority': 3})),
    (call('http://a.com/', taskid='mine', age=60), task('http://a.com/', 'mine', schedule={'age': 60.0})),
    (call('http://a.com/', taskid='mine', itag='v2'), task('http://a.com/', 'mine', schedule={'itag': 'v2'})),
    (call('http://a.com/', taskid='mine', etag=False), task('http://a.com/', 'mine', fetch={'etag': False})),
    (call('http://a.com/', taskid='mine', proxy=['h1:1', 'h2:2']), task('http://a.com/', 'mine', fetch={'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', taskid='mine', session='login'), task('http://a.com/', 'mine', fetch={'session': 'login'})),
    (call('http://a.com/', taskid='mine', fetch_type='js'), task('http://a.com/', 'mine', fetch={'fetch_type': 'js'})),
    (call('http://a.com/', priority=3, age=60), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3, 'age': 60.0})),
    (call('http://a.com/', priority=3, itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3, 'itag': 'v2'})),
    (call('http://a.com/', priority=3, etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'etag': False})),
    (call('http://a.com/', priority=3, proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', priority=3, session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'session': 'login'})),
    (call('http://a.com/', priority=3, fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 3}, fetch={'fetch_type': 'js'})),
    (call('http://a.com/', age=60, itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0, 'itag': 'v2'})),
    (call('http://a.com/', age=60, etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'etag': False})),
    (call('http://a.com/', age=60, proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', age=60, session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'session': 'login'})),
    (call('http://a.com/', age=60, fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 60.0}, fetch={'fetch_type': 'js'})),
    (call('http://a.com/', itag='v2', etag=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'etag': False})),
    (call('http://a.com/', itag='v2', proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'proxy': ['h1:1', 'h2:2']})),
    (call('http://a.com/', itag='v2', session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'session': 'login'})),
    (call('http://a.com/', itag='v2', fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 'v2'}, fetch={'fetch_type': 'js'})),
    (call('http://a.com/', etag=False, proxy=['h1:1', 'h2:2']), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': ['h1:1', 'h2:2'], 'etag': False})),
    (call('http://a.com/', etag=False, session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'etag': False, 'session': 'login'})),
    (call('http://a.com/', etag=False, fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'etag': False, 'fetch_type': 'js'})),
    (call('http://a.com/', proxy=['h1:1', 'h2:2'], session='login'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': ['h1:1', 'h2:2'], 'session': 'login'})),
    (call('http://a.com/', proxy=['h1:1', 'h2:2'], fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': ['h1:1', 'h2:2'], 'fetch_type': 'js'})),
    (call('http://a.com/', session='login', fetch_type='js'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'fetch_type': 'js', 'session': 'login'})),
    # other shapes of the same arguments
    (call('http://a.com/', data='a=1&b=2'), task('http://a.com/', 'b6e9e0583eeafe4e4978235a21a3f112', fetch={'method': 'POST', 'data': b'a=1&b=2'})),
    (call('http://a.com/', data=b'\x00\xff'), task('http://a.com/', 'eca094f9d10b9e5c362b9fed0fc46b83', fetch={'method': 'POST', 'data': b'\x00\xff'})),
    (call('http://a.com/', data=''), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('http://a.com/', data=[('a', 1), ('a', 2)]), task('http://a.com/', 'f1867ef3c4a2151b299c6d098a74d5f5', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a=1&a=2'})),
    (call('http://a.com/', data={'a': None, 'b': ''}), task('http://a.com/', 'd11ebfe22aed50700dc4b24abc5e4580', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'b='})),
    (call('http://a.com/', data={'a': [1, 2]}), task('http://a.com/', 'f1867ef3c4a2151b299c6d098a74d5f5', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a=1&a=2'})),
    (call('http://a.com/', data='é'), task('http://a.com/', 'a21672cfd01f59a6057f4c9f638676df', fetch={'method': 'POST', 'data': b'\xc3\xa9'})),
    (call('http://a.com/', data={'é': 'ü'}), task('http://a.com/', '8e9e3789c0131c447a9bb1ad2444d1dc', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'%C3%A9=%C3%BC'})),
    (call('http://a.com/', data=bytearray(b'x')), task('http://a.com/', '5ae64ccf7ea94dc032490828b1530329', fetch={'method': 'POST', 'data': b'x'})),
    (call('http://a.com/', data='x', method='PATCH'), task('http://a.com/', '27e1deb38e92bada67cedc1a7a74c6e0', fetch={'method': 'PATCH', 'data': b'x'})),
    (call('http://a.com/', method='HEAD'), task('http://a.com/', '5d0dc9791bc6225d15594b5f25b9dedd', fetch={'method': 'HEAD'})),
    (call('http://a.com/', method='get'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'method': 'GET'})),
    (call('http://a.com/', method='delete'), task('http://a.com/', 'e1fdd4d1a267fd781c3dcbe839d34809', fetch={'method': 'DELETE'})),
    (call('http://a.com/', data='{}', headers={'Content-Type': 'application/json'}), task('http://a.com/', 'b3f8c91f909ba3751d9ff944023d73bc', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/json'}, 'data': b'{}'})),
    (call('http://a.com/', data={'a': 1}, headers={'content-type': 'x/y'}), task('http://a.com/', '9de8c645a4d6611be4ada73b316ca78c', fetch={'method': 'POST', 'headers': {'content-type': 'x/y'}, 'data': b'a=1'})),
    (call('http://a.com/', params=[('a', 1), ('b', 2)]), task('http://a.com/?a=1&b=2', '3db35255d900ee1d630ac472d4074c20')),
    (call('http://a.com/', params='a=1'), task('http://a.com/?a=1', '77a07d61277cc420828baee5f61f72e7')),
    (call('http://a.com/', params={}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('http://a.com/', params={'a': None}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('http://a.com/', params={'ü': 'é'}), task('http://a.com/?%C3%BC=%C3%A9', '81170253dc75ab0571459f97cf521581')),
    (call('http://a.com/', files={'f': 'text'}), task('http://a.com/', '60d05ae52a266f67c0a9e573c8267431', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkitfd625b9fd9023a37d6c73441ff6f3f19'}, 'data': b'------crawlkitfd625b9fd9023a37d6c73441ff6f3f19\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: application/octet-stream\r\n\r\ntext\r\n------crawlkitfd625b9fd9023a37d6c73441ff6f3f19--\r\n'})),
    (call('http://a.com/', files={'f': b'bytes'}), task('http://a.com/', '6b4cd9e9cf260e0c15f98ac273724f71', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkit558b758eee2899268d50f82b21cfc7d5'}, 'data': b'------crawlkit558b758eee2899268d50f82b21cfc7d5\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: application/octet-stream\r\n\r\nbytes\r\n------crawlkit558b758eee2899268d50f82b21cfc7d5--\r\n'})),
    (call('http://a.com/', files={'f': ('a"b.txt', 'x', 'text/plain')}), task('http://a.com/', 'e0d5abfede15debffa57f84fae8837f4', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkit89e6459a5f2b9f9a4236e4ca32d29163'}, 'data': b'------crawlkit89e6459a5f2b9f9a4236e4ca32d29163\r\nContent-Disposition: form-data; name="f"; filename="a%22b.txt"\r\nContent-Type: text/plain\r\n\r\nx\r\n------crawlkit89e6459a5f2b9f9a4236e4ca32d29163--\r\n'})),
    (call('http://a.com/', files={'f': {'name.bin': b'x'}}), task('http://a.com/', '183a5a9d25e880f9f5fb408a39490070', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkit52f9fe52d35dcb5eb0fa4b5067c4d6aa'}, 'data': b'------crawlkit52f9fe52d35dcb5eb0fa4b5067c4d6aa\r\nContent-Disposition: form-data; name="f"; filename="name.bin"\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n------crawlkit52f9fe52d35dcb5eb0fa4b5067c4d6aa--\r\n'})),
    (call('http://a.com/', files=[('f', ('1', b'1')), ('f', ('2', b'2'))]), task('http://a.com/', 'fac730e3f3f4bfc5947ef2e3b965e08b', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkitcc26395c212b3c03bc48ea4bfb1ed227'}, 'data': b'------crawlkitcc26395c212b3c03bc48ea4bfb1ed227\r\nContent-Disposition: form-data; name="f"; filename="1"\r\nContent-Type: application/octet-stream\r\n\r\n1\r\n------crawlkitcc26395c212b3c03bc48ea4bfb1ed227\r\nContent-Disposition: form-data; name="f"; filename="2"\r\nContent-Type: application/octet-stream\r\n\r\n2\r\n------crawlkitcc26395c212b3c03bc48ea4bfb1ed227--\r\n'})),
    (call('http://a.com/', files={'f': b'x'}, data=[('a', '1'), ('b', '2')]), task('http://a.com/', '01ccf9ca3a083d4281a917af4aad9333', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkit414459b263dfbbf25e016b9f0a164f42'}, 'data': b'------crawlkit414459b263dfbbf25e016b9f0a164f42\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n------crawlkit414459b263dfbbf25e016b9f0a164f42\r\nContent-Disposition: form-data; name="b"\r\n\r\n2\r\n------crawlkit414459b263dfbbf25e016b9f0a164f42\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n------crawlkit414459b263dfbbf25e016b9f0a164f42--\r\n'})),
    (call('http://a.com/', files={}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('http://a.com/', proxy='u:p@h:1'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': 'u:p@h:1'})),
    (call('http://a.com/', proxy=False), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': False})),
    (call('http://a.com/', proxy=None), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('http://a.com/', etag='"abc"'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'etag': '"abc"'})),
    (call('http://a.com/', headers={'User-Agent': 'H'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'User-Agent': 'H'}, 'user_agent': 'H'})),
    (call('http://a.com/', headers={'N': 5, 'None': None, 'B': b'b'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'N': '5', 'B': 'b'}})),
    (call('http://a.com/', headers={}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {}})),
    (call('http://a.com/', cookies={}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {}})),
    (call('http://a.com/', save=0), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'save': 0})),
    (call('http://a.com/', save=None), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={})),
    (call('http://a.com/', save=''), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'save': ''})),
    (call('http://a.com/', save=[(1, 2)]), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'save': [[1, 2]]})),
    (call('http://a.com/', itag=7), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 7})),
    (call('http://a.com/', itag=1.5), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'itag': 1.5})),
    (call('http://a.com/', use_gzip=1, validate_cert=0), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'use_gzip': True, 'validate_cert': False})),
    (call('http://a.com/', fetch_type=''), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'fetch_type': ''})),
    (call('http://a.com/', fetch_type='browser', js_script='f'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'fetch_type': 'browser', 'js_script': 'f'})),
    (call('http://a.com/', callback='page'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', process={'callback': 'page'})),
    (call('http://a.com/', age=0, itag=None), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'age': 0.0})),
    (call('http://a.com/', priority=-5, exetime=0.5), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': -5, 'exetime': 0.5})),
    # the URL itself
    (call('http://a.com'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('  http://a.com/x  '), task('http://a.com/x', '4976fda4a714e79598b8b3fb3eb2cfff')),
    (call('HTTP://A.com/x'), task('http://A.com/x', 'ef3aac39c125e0e1570711513d9bac33')),
    (call('http://a.com/é'), task('http://a.com/%C3%A9', '07dc1c64f1b45985bdd514292cbf6b14')),
    (call('http://a.com/?q=é'), task('http://a.com/?q=%C3%A9', '707e4b7a5b3bb3a1f47075e76f436f12')),
    (call('http://bücher.de/'), task('http://xn--bcher-kva.de/', 'd15b9aa75b1a8f5db5743cab74ecd17b')),
    (call('http://a.com/a b'), task('http://a.com/a b', 'd9e039b2340c381c0a99f432e77e659b')),
    (call('http://a.com/#top'), task('http://a.com/#top', '284cd607377ff2cfe90bb3897a1e07e6')),
    (call('http://a.com/?a=1#f', params={'b': 2}), task('http://a.com/?a=1&b=2#f', '80bce94788eae9bf72769ef469a82b22')),
    (call('http://a.com?x=1'), task('http://a.com/?x=1', '4e4587422b917cd34885f2e79d2b11c8')),
    (call('next.html'), task('http://a.com/dir/next.html', '313feeb79cc2fd766c8818c59f96b5ca')),
    (call('/root'), task('http://a.com/root', '0e6a94eb9ce14ebf1aff83d38a03e583')),
    (call('?page=2'), task('http://a.com/dir/page.html?page=2', '882e8784d9e196e26c669ceff16ac94f')),
    (call('#here'), task('http://a.com/dir/page.html?x=1#here', 'c33b80bb6671bff4c7e7842d5fcead98')),
    (call('//b.com/x'), task('http://b.com/x', '9e8cd6f1ae96bb3200bb3e5c88a9b8c2')),
    (call('../up'), task('http://a.com/up', 'ed0df515a26914bc219cf209960839a8')),
    (call('data:,hello'), task('data:,hello', '43dbd3736f546a61fa18dbf8f8a93012')),
    (call('https://a.com:443/'), task('https://a.com:443/', 'a61ba04af3dfb0b51f3ea48dfad46db4')),
    (call('http://u:p@a.com/'), task('http://u:p@a.com/', '57e7e2a82c390c2fc6fc5fe7040e03ae')),
    (call('http://a.com/%7Eme'), task('http://a.com/%7Eme', '32d9ee981dc58fb4b04cdc956a589d68')),
    (call('http://[::1]:80/'), task('http://[::1]:80/', 'fe6e2a575cb163c666334816c0e0c603')),
    (call(''), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call('http://a.com/😀'), task('http://a.com/%F0%9F%98%80', 'd210a51d0ffdf002ec8e04da9d2eeb8f')),
    (call('http://a.com/x;y=z?q=1,2'), task('http://a.com/x;y=z?q=1,2', 'a1a5178ba9d96a06f53776de6dadca67')),
    # curl commands
    (call('curl http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a')),
    (call("curl 'http://a.com/?a=1&b=2' -H 'Accept: */*' -H 'X-A: b: c'"), task('http://a.com/?a=1&b=2', '3db35255d900ee1d630ac472d4074c20', fetch={'headers': {'Accept': '*/*', 'X-A': 'b: c'}})),
    (call('curl a.com/x'), task('http://a.com/x', '4976fda4a714e79598b8b3fb3eb2cfff')),
    (call('curl http://a.com/ -d a=1 -d b=2'), task('http://a.com/', 'b6e9e0583eeafe4e4978235a21a3f112', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a=1&b=2'})),
    (call('curl http://a.com/ --data-raw \'{"a": 1}\' -H \'content-type: application/json\''), task('http://a.com/', 'd5b1f363a6ce26617bff30b01bf897a9', fetch={'method': 'POST', 'headers': {'content-type': 'application/json'}, 'data': b'{"a": 1}'})),
    (call("curl http://a.com/ --data-binary $'a\\nb\\u00e9'"), task('http://a.com/', 'e89a0c912fc8c6a26bc3e2bc0481056c', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a\nb\xc3\xa9'})),
    (call("curl http://a.com/ -b 'k=v; l=w'"), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'k': 'v', 'l': 'w'}})),
    (call('curl http://a.com/ -b k=v --cookie m=n'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'cookies': {'k': 'v', 'm': 'n'}})),
    (call('curl -X DELETE http://a.com/'), task('http://a.com/', 'e1fdd4d1a267fd781c3dcbe839d34809', fetch={'method': 'DELETE'})),
    (call('curl -I http://a.com/'), task('http://a.com/', '5d0dc9791bc6225d15594b5f25b9dedd', fetch={'method': 'HEAD'})),
    (call("curl -G http://a.com/ -d a=1 --data-urlencode 'b=c d'"), task('http://a.com/?a=1&b=c%20d', '345c619ee4276a9227b86eae00c767d2')),
    (call('curl --compressed -k -L http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'use_gzip': True, 'validate_cert': False, 'allow_redirects': True})),
    (call("curl -A 'UA 1' -e http://r.com/ http://a.com/"), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'Referer': 'http://r.com/'}, 'user_agent': 'UA 1'})),
    (call('curl -u me:pw http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'Authorization': 'Basic bWU6cHc='}})),
    (call('curl -x h:8080 http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'proxy': 'h:8080'})),
    (call('curl --max-time 9 --connect-timeout 3.5 --http2 http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'timeout': 9.0, 'connect_timeout': 3.5})),
    (call("curl -F a=1 -F 'b=two;type=text/plain' http://a.com/"), task('http://a.com/', 'b391b22cf64fa052fb45a4a465e6ff99', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkit9caa35eba5c485ee3400eaa468288a12'}, 'data': b'------crawlkit9caa35eba5c485ee3400eaa468288a12\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n------crawlkit9caa35eba5c485ee3400eaa468288a12\r\nContent-Disposition: form-data; name="b"\r\nContent-Type: text/plain\r\n\r\ntwo\r\n------crawlkit9caa35eba5c485ee3400eaa468288a12--\r\n'})),
    (call("curl -F 'a=1;filename=x.txt' http://a.com/"), task('http://a.com/', 'b15bd4e2c28b12544b612dc11f2e9748', fetch={'method': 'POST', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkitbf3b3c55abe1ca93142621f52e2e7598'}, 'data': b'------crawlkitbf3b3c55abe1ca93142621f52e2e7598\r\nContent-Disposition: form-data; name="a"; filename="x.txt"\r\nContent-Type: application/octet-stream\r\n\r\n1\r\n------crawlkitbf3b3c55abe1ca93142621f52e2e7598--\r\n'})),
    (call("curl \\\n  'http://a.com/' \\\n  -H 'A: 1'"), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'A': '1'}})),
    (call('\n curl http://a.com/ -H A:1\n'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'A': '1'}})),
    (call("curl http://a.com/ -H 'A: 1' -H 'B: 2'", headers={'B': '3', 'C': '4'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'headers': {'A': '1', 'B': '3', 'C': '4'}})),
    (call('curl http://a.com/ -d a=1', method='PUT'), task('http://a.com/', 'a7cdea624c87279bf395ba08a45537c9', fetch={'method': 'PUT', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a=1'})),
    (call('curl http://a.com/ -d a=1', data='b=2'), task('http://a.com/', '4a840bd2a75532297f89308c69d29863', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'b=2'})),
    (call('curl -m 9 http://a.com/', timeout=5, priority=2, callback=Plain.page), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2}, fetch={'timeout': 5.0}, process={'callback': 'page'})),
    (call('curl http://a.com/', params={'a': 1}, save={'b': 2}), task('http://a.com/?a=1', '77a07d61277cc420828baee5f61f72e7', fetch={'save': {'b': 2}})),
    (call('curl --max-redirs 3 --location http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', fetch={'allow_redirects': True, 'max_redirects': 3})),
    (call("curl --json '{}' http://a.com/"), task('http://a.com/', 'b3f8c91f909ba3751d9ff944023d73bc', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/json', 'Accept': 'application/json'}, 'data': b'{}'})),
    (call('curl -sS -XPUT -dx http://a.com/'), task('http://a.com/', '04dfbe7635a412645e7d2f2352d62249', fetch={'method': 'PUT', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'x'})),
    (call('curl http://a.com/é -d é'), task('http://a.com/%C3%A9', 'fa6accdbe96f57ee061cae68dd497bed', fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'\xc3\xa9'})),
    (call('curl -F a=1 http://a.com/', method='PUT', session='s'), task('http://a.com/', '908f7af6e89b28a47c24619ea9d9ea60', fetch={'method': 'PUT', 'headers': {'Content-Type': 'multipart/form-data; boundary=----crawlkit46f9b2da65286eeaed31e2d70fff14c8'}, 'data': b'------crawlkit46f9b2da65286eeaed31e2d70fff14c8\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n------crawlkit46f9b2da65286eeaed31e2d70fff14c8--\r\n', 'session': 's'})),
    # of a handler with crawl_config and @config; what is said nearer wins, also key by key
    (call(Shop, 'http://a.com/'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 1, 'itag': 'v1'})),
    (call(Shop, 'http://a.com/', callback=Shop.page), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 1, 'itag': 'v1'}, process={'callback': 'page'})),
    (call(Shop, 'http://a.com/', callback=Shop.item), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': '2'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'http://a.com/', callback=Shop.item, priority=9), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 9, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': '2'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'http://a.com/', callback=Shop.item, headers={'C': 'call', 'D': 'call'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'call', 'D': 'call'}, 'cookies': {'c': '2'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'http://a.com/', callback=Shop.item, headers={'B': 'call'}, cookies={'c': 'call'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'call', 'C': 'config'}, 'cookies': {'c': 'call'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'http://a.com/', callback=Shop.item, cookies={'x': '3'}, age=0), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 0.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': '2', 'x': '3'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'http://a.com/', callback=Shop.item, process_time_limit=1), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': '2'}}, process={'callback': 'item', 'process_time_limit': 1.0})),
    (call(Shop, 'http://a.com/', callback=Shop.item, itag='v2'), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v2'}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': '2'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'http://a.com/', callback=Shop.item, itag=None), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': '2'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'http://a.com/', callback=Shop.page, headers={'A': 'call'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 1, 'itag': 'v1'}, fetch={'headers': {'A': 'call'}}, process={'callback': 'page'})),
    (call(Shop, 'http://a.com/', callback=Shop.sends), task('http://a.com/', 'a7cdea624c87279bf395ba08a45537c9', schedule={'priority': 1, 'itag': 'v1'}, fetch={'method': 'PUT', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a=1'}, process={'callback': 'sends'})),
    (call(Shop, 'http://a.com/', callback=Shop.sends, data={'a': 2, 'b': 3}), task('http://a.com/', '3aba0a9ff348406a105911ceb0b30b19', schedule={'priority': 1, 'itag': 'v1'}, fetch={'method': 'PUT', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a=2&b=3'}, process={'callback': 'sends'})),
    (call(Shop, 'http://a.com/', callback=Shop.sends, data='raw'), task('http://a.com/', '2ed33c41ac3ef62210691273440ac3d4', schedule={'priority': 1, 'itag': 'v1'}, fetch={'method': 'PUT', 'data': b'raw'}, process={'callback': 'sends'})),
    (call(Shop, 'http://a.com/', callback=Shop.sends, method='POST'), task('http://a.com/', '9de8c645a4d6611be4ada73b316ca78c', schedule={'priority': 1, 'itag': 'v1'}, fetch={'method': 'POST', 'headers': {'Content-Type': 'application/x-www-form-urlencoded'}, 'data': b'a=1'}, process={'callback': 'sends'})),
    (call(Shop, 'http://a.com/', callback='item', timeout=5), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': '2'}, 'timeout': 5.0}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'curl http://a.com/ -H C:curl -H E:curl', callback=Shop.item), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'curl', 'E': 'curl'}, 'cookies': {'c': '2'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
    (call(Shop, 'curl http://a.com/ -b c=curl', callback=Shop.item, cookies={'d': '4'}), task('http://a.com/', '976c401c56398406fb1c7a63440f6a6a', schedule={'priority': 2, 'age': 10.0, 'itag': 'v1'}, fetch={'headers': {'B': 'config', 'C': 'config'}, 'cookies': {'c': 'curl', 'd': '4'}}, process={'callback': 'item', 'process_time_limit': 5.0})),
]
# fmt: on


@pytest.mark.parametrize(("asked", "expected"), ROWS, ids=[f"{n}" for n in range(len(ROWS))])
def test_a_call_comes_to_this_task(asked: Call, expected: Task) -> None:
    handler = asked.handler()
    handler.project_name = "shop"
    collector = Collector()
    Crawler(handler).begin(collector, Response(PAGE), {}, {})
    handler.crawl(*asked.args, **asked.kwargs)
    (follow,) = collector.follows
    found = msgspec.msgpack.decode(follow.task, type=Task)
    check_task(found)
    assert found == expected, asked
    assert follow.taskid == expected.taskid


def test_the_table_has_every_argument_alone_and_in_company() -> None:
    assert len(ROWS) >= 200
    names = set(CrawlArgs.__annotations__) | {"callback"}
    assert {name for asked, _ in ROWS if len(asked.kwargs) == 1 for name in asked.kwargs} >= names
    assert len({tuple(sorted(asked.kwargs)) for asked, _ in ROWS if len(asked.kwargs) == 2}) >= 100
