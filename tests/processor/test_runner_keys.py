"""``result_key`` of a handler: what goes out with the results, and what is refused."""

from __future__ import annotations

import pytest

from crawlkit.libs.errors import ScriptError

from .test_runner import ran, run, runner

LISTED = """
result_key = ("sku", "shop")
result_key_policy = "{policy}"

def page(self, response):
    self.crawl("/first")
    yield {{"sku": 1.0, "shop": "ü", "price": 2}}
    self.crawl("/second")
    yield {{"shop": "b", "sku": None}}
    self.crawl("/third")
"""


@pytest.mark.parametrize(("policy", "places"), [("replace", []), ("keep_first", []), ("stop", [1, 2])])
def test_keys_go_out_with_their_results(policy: str, places: list[int]) -> None:
    outcome = ran(LISTED.format(policy=policy))
    assert outcome.ok
    assert outcome.key_policy == policy
    assert outcome.keys == ['[1,"ü"]', '[null,"b"]']
    assert outcome.key_places == places
    assert len(outcome.results) == 2
    assert len(outcome.follows) == 3


def test_without_a_key_nothing_is_said() -> None:
    outcome = ran("def page(self, response):\n    return {'a': 1}")
    assert (outcome.keys, outcome.key_policy, outcome.key_places) == ([], "", [])


def test_a_result_without_the_field_fails_its_task() -> None:
    outcome = ran(
        """
        result_key = "sku"

        def page(self, response):
            yield {"sku": 1}
            self.crawl("/next")
            yield {"name": "no number"}
        """
    )
    assert not outcome.ok
    assert outcome.process.exception == "NotJSON: result 2.sku: is missing, and result_key names it"
    assert outcome.process.reason == "result"
    assert outcome.results == outcome.keys == []
    assert len(outcome.follows) == 1


def test_every_part_has_its_own_keys() -> None:
    parts = run(
        runner(
            """
            result_key = "n"
            result_key_policy = "stop"

            def page(self, response):
                for n in range(3):
                    self.crawl("/%d" % n)
                    yield {"n": n, "text": "x" * 600_000}
            """
        )
    )
    assert [(part.keys, part.key_places, len(part.follows)) for part in parts] == [
        (["[0]"], [1], 2), (["[1]"], [0], 1), (["[2]"], [0], 0),
    ]  # fmt: skip
    assert {part.key_policy for part in parts} == {"stop"}


def test_a_changed_result_has_the_key_it_is_stored_with() -> None:
    outcome = ran(
        """
        result_key = "sku"

        def on_result(self, result):
            super().on_result({"sku": result["name"].lower()})

        def page(self, response):
            return {"name": "A"}
        """
    )
    assert outcome.keys == ['["a"]']


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("result_key = 5", "result_key: a tuple of field names, not 5"),
        ("result_key_policy = 'newest'", "result_key_policy: use one of replace, keep_first, stop, not 'newest'"),
        ("result_key = ('a', 'a')", "result_key: a tuple of different field names"),
    ],
)
def test_what_is_no_key_is_refused_when_the_script_is_loaded(body: str, words: str) -> None:
    with pytest.raises(ScriptError) as caught:
        runner(body)
    assert words in str(caught.value)
