from __future__ import annotations

import sys
import textwrap
import traceback
from collections.abc import Iterator

import pytest

from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.errors import ScriptError
from crawlkit.processor.capture import Capture, capturing
from crawlkit.processor.project_loader import LoadedProject, load_project, script_md5

HANDLER = "from crawlkit import BaseHandler\nclass Handler(BaseHandler):\n    def page(self): return {}\n"


@pytest.fixture(autouse=True)
def _hook_only_here() -> Iterator[None]:
    before, modules = list(sys.meta_path), set(sys.modules)
    yield
    sys.meta_path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith(("pyspider", "projects", "crawlkit_project")):
            del sys.modules[name]


def load(script: str, name: str = "shop", scripts: dict[str, str] | None = None) -> LoadedProject:
    return load_project(name, textwrap.dedent(script), resolver=None if scripts is None else scripts.get)


def test_what_a_script_finds() -> None:  # H02, H12
    loaded = load(
        """
        from crawlkit import *
        print("loading", __project__, __file__, __name__)
        logger.info("logged")
        logging.warning("too")
        assert [text.split()[-1] for text in log_buffer] == ["crawlkit_project.shop", "logged", "too"]
        class Handler(BaseHandler): pass
        """
    )
    assert isinstance(loaded.handler, BaseHandler)
    assert loaded.handler.project_name == "shop"
    assert loaded.handler.project is not None
    assert loaded.handler.project["name"] == "shop"
    shown = load_project("shop", HANDLER, project={"status": "RUNNING", "name": "not this"}).handler.project
    assert shown == {"name": "shop", "group": "", "script": HANDLER, "status": "RUNNING"}
    assert loaded.handler.logger is loaded.module.__dict__["logger"] is loaded.module.__dict__["logging"]
    assert loaded.logs.startswith("loading shop shop.py crawlkit_project.shop\n")
    assert loaded.logs.count("logged") == loaded.logs.count("too") == 1
    assert loaded.module.__file__ == "shop.py"


@pytest.mark.parametrize(
    "head",
    [
        "from crawlkit import BaseHandler, every, config, catch_status_code_error, not_send_status",
        "from crawlkit.libs.base_handler import *",
        "from pyspider.libs.base_handler import *",
        "from pyspider.libs.base_handler import BaseHandler, every, config, catch_status_code_error, not_send_status",
    ],
)
def test_import_forms(head: str) -> None:  # H01, T54
    loaded = load(
        head
        + """
class Handler(BaseHandler):
    @every(minutes=24 * 60)
    @config(age=1)
    @catch_status_code_error
    @not_send_status
    def on_start(self): pass
"""
    )
    assert loaded.handler.project_info().crons[0].seconds == 86400


def test_names_that_leaked_out_of_pyspider() -> None:  # H01
    loaded = load(
        """
        from pyspider.libs.base_handler import *
        import pyspider.libs.utils as utils
        from pyspider.libs.response import Response, rebuild_response
        from pyspider.libs.url import curl_to_arguments, quote_chinese
        from pyspider.libs.url import _build_url, _encode_params, _encode_multipart_formdata, get_content_type
        from pyspider.libs.utils import md5string, timeout, text, unicode_obj, format_date, getitem, ObjectDict
        from pyspider.libs.utils import run_in_thread, run_in_subprocess, load_object, decode_unicode_obj, Get
        assert curl_to_arguments("curl http://a.com/")["urls"] == ["http://a.com/"]
        assert md5string("x") == utils.md5string(b"x") == "9dd4e461268c8034f5c8564e155c67a6"
        assert quote_chinese("é") == "%C3%A9"
        assert sys and inspect and functools and pprint and six and iteritems and add_metaclass
        assert rebuild_response({"content": "x", "status_code": 200, "url": "u"}).text == "x"
        assert _build_url("http://a.com", {"b": 1}) == "http://a.com/?" + _encode_params({"b": 1})
        with timeout(5, error_message="late"): pass
        class Handler(BaseHandler): pass
        """
    )
    assert loaded.module.__dict__["logging"] is loaded.handler.logger  # the star import leaves logging alone


def test_pyspider_is_ours_only_where_scripts_are_loaded() -> None:
    load(HANDLER)
    with pytest.raises(ModuleNotFoundError):
        import pyspider.webui  # noqa: F401


@pytest.mark.parametrize(
    ("classes", "chosen"),
    [
        ("class A(BaseHandler): pass\nclass B(BaseHandler): pass", "B"),
        ("class A(BaseHandler): pass\nclass B(A): pass\nclass C: pass", "B"),
        ("class A(BaseHandler): pass\nclass B(BaseHandler): pass\n__handler_cls__ = A", "A"),
        ("class A(BaseHandler): pass\n__handler_cls__ = 5", "A"),
    ],
)
def test_which_class_is_the_handler(classes: str, chosen: str) -> None:  # H03
    assert type(load("from crawlkit import *\n" + classes).handler).__name__ == chosen


@pytest.mark.parametrize(
    ("script", "lineno", "words"),
    [
        ("", None, "no class that subclasses BaseHandler"),
        ("from crawlkit import BaseHandler", None, "no class that subclasses BaseHandler"),
        ("x = 1\ndef f(:\n", 2, "SyntaxError"),
        ("x = 1\n\n1 / 0\n", 3, "ZeroDivisionError"),
        ("import nothing_of_that_name", 1, "nothing_of_that_name"),
        ("x = 1\nraise SystemExit(3)", 2, "SystemExit: 3"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("x = '\0'", None, "null bytes"),
        ("def f():\n  1/0\n\nf()\n", 2, "ZeroDivisionError"),
        (HANDLER + "    def __init__(self):\n        self.x = nothing\n", 5, "NameError"),
        (HANDLER + "    def __init__(self, x): pass\n", None, "TypeError"),
        ("from crawlkit import every\n@every(minutes=-1)\ndef f(): pass\n", 2, "minutes=-1"),
    ],
)
def test_load_errors_name_the_line(script: str, lineno: int | None, words: str) -> None:
    with pytest.raises(ScriptError) as caught:
        load_project("shop", script)
    assert words in str(caught.value)
    assert caught.value.lineno == lineno
    if lineno is not None:
        assert f'File "shop.py", line {lineno}' in caught.value.traceback
        assert "project_loader.py" not in caught.value.traceback


def test_a_load_error_keeps_what_was_printed_before() -> None:
    with pytest.raises(ScriptError) as caught:
        load_project("shop", "print('here')\n1/0")
    assert caught.value.traceback.startswith("here\nTraceback")
    assert "    1/0\n" in caught.value.traceback


def test_tracebacks_show_the_scripts_own_lines() -> None:
    loaded = load("from crawlkit import *\nclass H(BaseHandler):\n    def page(self):\n        return 1 / 0  # here\n")
    try:
        loaded.handler.page()  # type: ignore[attr-defined]
    except ZeroDivisionError:
        assert "return 1 / 0  # here" in traceback.format_exc()


def test_dataclasses_work_in_scripts() -> None:
    loaded = load(
        """
        from __future__ import annotations
        import dataclasses, typing
        from crawlkit import BaseHandler
        @dataclasses.dataclass
        class Item:
            a: int
            b: typing.ClassVar[str] = "x"
        class Handler(BaseHandler): pass
        typing.get_type_hints(Item)
        """
    )
    assert loaded.module.__dict__["Item"](1).a == 1


def test_a_project_named_like_a_module_hides_nothing() -> None:
    import json

    assert load(HANDLER, name="json").module is not json
    assert sys.modules["json"] is json
    with pytest.raises(ScriptError):
        load("1/0", name="json")
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    "use",
    [
        "from projects import other\nx = other.X",
        "from projects.other import X as x",
        "import projects.other\nx = projects.other.X",
    ],
)
def test_other_projects_can_be_imported_and_are_read_anew(use: str) -> None:  # P04 done right
    scripts = {"other": "X = 1"}
    loaded = load(use + "\n" + HANDLER, scripts=scripts)
    assert loaded.module.__dict__["x"] == 1
    assert loaded.imports == {"other": script_md5("X = 1")}
    scripts["other"] = "X = 2"
    assert load(use + "\n" + HANDLER, scripts=scripts).module.__dict__["x"] == 2


def test_imported_projects_import_others_and_are_captured() -> None:
    scripts = {"a": "from projects import b\nprint('a', b.X, __project__)", "b": "X = 5\nlogger.info('b')"}
    loaded = load("from projects import a\n" + HANDLER, scripts=scripts)
    assert "a 5 a\n" in loaded.logs
    assert "] b" in loaded.logs
    assert set(loaded.imports) == {"a", "b"}


def test_a_handler_from_another_project() -> None:
    loaded = load("from projects.base import Handler\n", scripts={"base": HANDLER})
    assert loaded.handler.page() == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("scripts", [{}, None])
def test_a_project_that_is_not_there(scripts: dict[str, str] | None) -> None:
    with pytest.raises(ScriptError, match=r"other|projects"):
        load("from projects import other\n" + HANDLER, scripts=scripts)


def test_an_imported_project_that_fails_names_its_line() -> None:
    with pytest.raises(ScriptError, match="ZeroDivisionError") as caught:
        load("from projects import other\n" + HANDLER, scripts={"other": "\n1/0"})
    assert caught.value.lineno == 1
    assert 'File "other.py", line 2' in caught.value.traceback


def test_loading_does_not_write_into_the_capture_around_it() -> None:
    with capturing(Capture()) as capture:
        load("print('x')\n" + HANDLER)
    assert capture.text() == ""


def test_a_line_in_the_script_asks_for_pyspiders_ids() -> None:
    script = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n"
    task = {"project": "p", "taskid": "", "url": "http://h/", "fetch": {"method": "POST", "data": "a=1"}}
    plain = load_project("p", script).handler
    compat = load_project("p", script + "\n# taskid_compat: yes (they were made by pyspider)\n").handler
    get = {**task, "fetch": {}}
    assert compat.get_taskid(task) == compat.get_taskid(get) == plain.get_taskid(get)
    assert plain.get_taskid(task) != plain.get_taskid(get)
