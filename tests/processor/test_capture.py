from __future__ import annotations

import contextvars
import logging
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.processor.capture import (
    Capture,
    LogBuffer,
    RoutedStream,
    ScriptLogger,
    captured_print,
    capturing,
    current,
    described,
    formatted,
)


class Wicked(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit


def test_the_log_buffer_is_the_log_of_the_running_task() -> None:  # H02
    buffer, logger = LogBuffer(), ScriptLogger("shop")
    assert list(buffer) == []
    buffer.append("nowhere")
    assert len(buffer) == 0
    with capturing(Capture(mask=lambda text: text.replace("hunter2", "***"))) as capture:
        captured_print("one")
        logger.warning("two of %s", "hunter2")
        assert buffer[0] == "one\n"
        assert buffer[-1].endswith("two of ***\n")
        assert len(buffer) == 2
        buffer.append("hunter2")
        assert capture.text().endswith("two of ***\n***")
        buffer[0] = "first\n"
        del buffer[1:]
        assert repr(buffer) == "['first\\n']"
        assert capture.text() == "first\n"
        buffer[:] = []
        assert (capture.text(), list(buffer)) == ("", [])
    assert list(buffer) == []


def test_prints_and_logs_are_kept_in_order() -> None:
    logger = ScriptLogger("shop")
    with capturing(Capture()) as capture:
        captured_print("a", 1, sep="-", end="!\n")
        logger.info("b %s", 2)
        captured_print("c", file=sys.stderr)
        logger.debug("d")
    lines = capture.text().splitlines()
    assert lines[0] == "a-1!"
    assert lines[1].startswith("[I ")
    assert lines[1].endswith("] b 2")
    assert "shop:" in lines[1]
    assert lines[2] == "c"
    assert lines[3].endswith("] d")


def test_outside_of_a_capture_everything_goes_where_it_always_went(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    captured_print("out")
    ScriptLogger("shop").info("nowhere")
    assert capsys.readouterr().out == "out\n"
    with capturing(Capture()) as capture, (tmp_path / "f").open("w") as file:
        captured_print("to a file", file=file)
    assert capture.text() == ""
    assert (tmp_path / "f").read_text() == "to a file\n"


def test_captures_of_two_contexts_do_not_mix() -> None:
    texts: dict[str, str] = {}
    gate = threading.Barrier(2, timeout=10)

    def work(name: str) -> None:
        with capturing(Capture()) as capture:
            for _ in range(50):
                gate.wait()
                captured_print(name)
        texts[name] = capture.text()

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(work, name)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {"a": "a\n" * 50, "b": "b\n" * 50}
    assert current() is None


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(1, 50))
def test_the_last_characters_are_kept(pieces: list[str], limit: int) -> None:
    capture = Capture(limit)
    for piece in pieces:
        capture.write(piece)
    whole = "".join(pieces)
    if len(whole) <= limit:
        assert capture.text() == whole
    else:
        assert capture.text() == "..." + whole[-limit:]


def test_an_endless_print_takes_little_memory() -> None:
    capture = Capture(1000)
    for _ in range(100_000):
        capture.write("x" * 10)
    assert len(capture.text()) == 1003
    assert sum(map(len, capture._pieces)) <= 1010
    for _ in range(100_000):
        capture.write("")
    assert len(capture._pieces) <= 1010


def test_lone_surrogates_are_escaped() -> None:
    capture = Capture()
    capture.write("a\ud800é")
    assert capture.text() == "a\\ud800é"


def test_the_scripts_logging_has_what_logging_has() -> None:
    logger = ScriptLogger("shop")
    assert logger.INFO == logging.INFO
    assert logger.getLogger("x") is logging.getLogger("x")
    with pytest.raises(AttributeError):
        logger.nothing  # noqa: B018


def test_a_log_call_that_cannot_be_formatted_is_said() -> None:
    with capturing(Capture()) as capture:
        ScriptLogger("shop").info("%d", "x")
        ScriptLogger("shop").info("%s", Wicked())
    assert "cannot be logged: TypeError" in capture.text()
    assert "cannot be logged: RuntimeError" in capture.text()


def test_routed_streams(capsys: pytest.CaptureFixture[str]) -> None:
    stream = RoutedStream(sys.stdout)
    with capturing(Capture()) as capture:
        print("in", file=stream)
    print("out", file=stream)
    assert capture.text() == "in\n"
    assert capsys.readouterr().out == "out\n"
    assert stream.writable()
    assert not stream.isatty()
    assert stream.encoding == "utf-8"


def test_exceptions_that_cannot_be_shown() -> None:
    assert described(Wicked()) == "Wicked: <its __str__ raised RuntimeError>"
    assert described(Leaving()) == "Leaving: <its __str__ raised SystemExit>"
    assert described(ValueError("x\ud800")) == "ValueError: x\\ud800"
    assert described(ValueError()) == "ValueError"
    assert len(described(ValueError("x" * 10_000))) < 2100
    assert "Wicked" in formatted(Wicked())
    assert "Leaving" in formatted(Leaving())


def test_tracebacks_leave_out_the_framework() -> None:
    from crawlkit.libs.task import check_project_name

    try:
        check_project_name("a b")
    except ValueError as error:
        text = formatted(error)
    assert "test_capture.py" in text
    assert "libs/task.py" not in text
    assert "InvalidProject: project name 'a b'" in text
