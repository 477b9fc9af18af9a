import pytest

from crawlkit.fetcher.retry_after import MOST, seconds_from

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
        ("Tuesday, 14-Nov-23 22:15:20 GMT", 120),
        ("999999999999999999999999", MOST),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("٣", None),
        ("Tue, 99 Nov 2023 22:15:20 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MOST),
    ],
)
def test_both_forms(value: str, seconds: float | None) -> None:
    assert seconds_from([("X", "y"), ("retry-AFTER", value)], 503, NOW) == seconds


def test_only_of_errors() -> None:
    assert seconds_from([("Retry-After", "5")], 200, NOW) is None
    assert seconds_from([], 429, NOW) is None
    assert seconds_from([("Retry-After", "5"), ("Retry-After", "9")], 429, NOW) == 5
