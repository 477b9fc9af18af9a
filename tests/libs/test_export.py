"""The three formats: exact bytes, hostile cells, flat memory."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs import export
from crawlkit.libs.rows import ResultRow


def row(result: object, n: int = 1, *, raw: str | None = None, url: str = "http://x/ü", time: float = 1.5) -> ResultRow:
    text = raw if raw is not None else json.dumps(result, ensure_ascii=False)
    return ResultRow("p", f"t{n}", 1, 0, url, text, time, n)


def csv_of(*rows: ResultRow) -> list[list[str]]:
    out = io.BytesIO()
    export.write_csv(lambda: rows, out)
    return list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))


class TestJSON:
    def test_a_line(self) -> None:
        line = export.jsonl_line(row({"a": "ü😀\n", "b": [1, None]}))
        assert (
            line
            == (
                '{"taskid":"t1","project":"p","url":"http://x/ü",'
                '"result":{"a": "ü😀\\n", "b": [1, null]},"updatetime":1.5}\n'
            ).encode()
        )
        assert list(json.loads(line)) == ["taskid", "project", "url", "result", "updatetime"]

    def test_a_pretty_result_stays_on_its_line(self) -> None:
        line = export.jsonl_line(row(None, raw='{\n  "a": "x\\ny",\r\n  "b": 1\n}'))
        assert line.count(b"\n") == 1
        assert json.loads(line)["result"] == {"a": "x\ny", "b": 1}

    def test_lines(self) -> None:
        out = io.BytesIO()
        assert export.write_jsonl([row(1, 1), row("x", 2)], out) == 2
        assert [json.loads(line)["result"] for line in out.getvalue().splitlines()] == [1, "x"]

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_array(self, count: int) -> None:
        out = io.BytesIO()
        assert export.write_json((row({"n": n}, n) for n in range(count)), out) == count
        assert [each["result"]["n"] for each in json.loads(out.getvalue())] == list(range(count))
        assert out.getvalue().endswith(b"]\n")

    @given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists))
    def test_whatever_the_result_is(self, value: object) -> None:
        assert json.loads(export.jsonl_line(row(None, raw=json.dumps(value, indent=1))))["result"] == value


class TestTxt:
    def test_a_line_is_the_url_a_tab_and_the_json(self) -> None:
        """W17."""
        line = export.txt_line(row(None, raw='{\n "a": "x\ty"}', url="http://x/\ta\n"))
        assert line == b'http://x/ a \t{  "a": "x\ty"}\n'

    def test_lines(self) -> None:
        assert b"".join(export.txt_chunks(lambda: [row(1, 1), row("x", 2)])) == (
            'http://x/ü\t1\nhttp://x/ü\t"x"\n'.encode()
        )


@pytest.mark.parametrize("evil", ["</script><script>alert(1)", "<!--", "</SCRIPT", "<script", "a < b <p>"])
def test_r69_json_inside_html_ends_no_script(evil: str) -> None:
    rows = [row({evil: evil}, url=f"http://x/{evil}")]
    for chunks in (export.jsonl_chunks, export.json_chunks):
        text = b"".join(export.embeddable(chunks(lambda: rows)))
        assert not [one for one in (b"</", b"<!", b"<s", b"<S") if one in text]
        value = json.loads(text)
        assert (value if isinstance(value, dict) else value[0])["result"] == {evil: evil}


class TestCSV:
    def test_columns_in_order_of_first_appearance(self) -> None:
        table = csv_of(row({"b": 1, "a": "x"}, 1), row({"c": None, "a": 'y,"\n'}, 2), row({}, 3))
        assert table[0] == ["url", "b", "a", "c"]
        assert table[1:] == [["http://x/ü", "1", "x", ""], ["http://x/ü", "", 'y,"\n', ""], ["http://x/ü", "", "", ""]]

    def test_values(self) -> None:
        table = csv_of(row({"i": -5, "f": 1.5, "t": True, "l": [1, "ü"], "o": {"k": None}, "n": None, "s": ""}))
        assert table[1][1:] == ["-5", "1.5", "true", '[1,"ü"]', '{"k":null}', "", ""]

    def test_what_is_no_object_has_its_column(self) -> None:
        assert csv_of(row("text", 1), row([1], 2), row({"a": 1}, 3)) == [
            ["url", "result", "a"],
            ["http://x/ü", "text", ""],
            ["http://x/ü", "[1]", ""],
            ["http://x/ü", "", "1"],
        ]

    def test_a_url_of_its_own_wins(self) -> None:
        assert csv_of(row({"title": "t", "url": "http://own"})) == [["url", "title"], ["http://own", "t"]]

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"])
    def test_no_formulas(self, start: str) -> None:
        evil = start + "cmd|' /C calc'!A0"
        table = csv_of(row({evil: evil}, url=evil))
        assert table == [["url", "'" + evil], ["'" + evil, "'" + evil]]

    def test_nothing(self) -> None:
        assert csv_of() == [["url"]]

    def test_too_many_keys(self) -> None:
        rows = [row({f"k{n}": n}, n + 1) for n in range(1500)]
        table = csv_of(*rows)
        assert len(table[0]) == export.MAX_COLUMNS + 1
        assert table[0][-1] == "..."
        assert table[5][5] == "4"
        assert json.loads(table[-1][-1]) == {"k1499": 1499}
        assert csv_of(*rows[: export.MAX_COLUMNS - 1])[0][-1] == f"k{export.MAX_COLUMNS - 2}"

    def test_rows_that_come_in_between_are_left_out(self) -> None:
        calls = []

        def rows() -> Iterator[ResultRow]:
            calls.append(1)
            yield from [row({"a": n}, n) for n in range(1, 2 + len(calls))]

        out = io.BytesIO()
        assert export.write_csv(rows, out) == 2
        assert out.getvalue().count(b"\r\n") == 3

    @pytest.mark.parametrize(
        "raw", ['{"a": NaN}', '{"a": "\\ud800"}', "not json", "[" * 100_000, '{"a":' + "9" * 30 + "}"]
    )
    def test_strange_texts_end_nothing(self, raw: str) -> None:
        assert len(csv_of(row(None, raw=raw), row({"b": 1}, 2))) == 3


@pytest.mark.parametrize("form", export.FORMATS)
def test_flat_memory(form: str) -> None:
    class Null:
        size = 0

        def write(self, data: bytes) -> None:
            self.size += len(data)

    def rows() -> Iterator[ResultRow]:
        for n in range(20_000):
            yield row({"n": n, "text": "x" * 500}, n + 1)

    out = Null()
    tracemalloc.start()
    assert export.WRITERS[form](rows, out) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert out.size > 10_000_000
    assert peak < 2_000_000
