"""The selector helper: elements picked in the preview of a page, and selectors for them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.page_reader import reader_of
from crawlkit.webui.page_source import page_source
from crawlkit.webui.problem import Problem
from crawlkit.webui.selector_values import Evaluation
from crawlkit.webui.selectors import Proposal
from crawlkit.webui.services import Services

room = Room("selector")

PageId = Annotated[
    str, Meta(min_length=1, max_length=64, description="A page that the debugger fetched, or a kept one.")
]
Ending = Annotated[str, Meta(max_length=60, description="`text`, `whole-text`, `html`, or `@` and an attribute.")]
Query = Annotated[str, Meta(min_length=1, max_length=2_000)]
Feature = Annotated[list[Annotated[str, Meta(max_length=400)]], Meta(min_length=2, max_length=3)]
Number = Annotated[int, Meta(ge=0, le=1_000_000)]


class ProposeBody(Struct, forbid_unknown_fields=True):
    """What was picked."""

    page: PageId
    picked: Annotated[list[Number], Meta(min_length=1, max_length=20)]
    """Numbers of elements in the preview. Several stand for all that are like them."""
    ending: Ending | None = None
    """What is wanted of them; null: what suits their kind."""


class EvaluateBody(Struct, forbid_unknown_fields=True):
    """A selector to try: one of `css`, `xpath` and `features`."""

    page: PageId
    css: Query | None = None
    xpath: Query | None = None
    features: Annotated[list[Annotated[list[Feature], Meta(max_length=40)]], Meta(max_length=64)] | None = None
    """What a selector is made of, element by element from the outside in: `["tag", "a"]`, `["id", "top"]`,
    `["class", "price"]`, `["attr", "rel", "next"]`."""
    ending: Ending | None = None
    """What is wanted of the elements found; null: what the selector says."""


@room.endpoint("POST", "/projects/{project}/selector/propose", role=EDITOR, body=ProposeBody, returns=Proposal,
               refusals=(404, 422, 503), audit=False)  # fmt: skip
def propose_selector(services: Services, request: Request[None, ProposeBody]) -> Proposal:
    """The shortest robust selectors for elements picked on a page.

    One element has one that finds it alone; two or more have one that finds all of their kind. Each is tried on the
    page before it is proposed.
    """
    body = request.body
    key, source = page_source(services, request.identity, request.path["project"], body.page)
    return reader_of(services).propose(key, source, body.picked, body.ending)


@room.endpoint("POST", "/projects/{project}/selector/evaluate", role=EDITOR, body=EvaluateBody, returns=Evaluation,
               refusals=(404, 422, 503), audit=False)  # fmt: skip
def evaluate_selector(services: Services, request: Request[None, EvaluateBody]) -> Evaluation:
    """What a selector finds on a page, as a callback would get it."""
    body = request.body
    if sum(given is not None for given in (body.css, body.xpath, body.features)) != 1:
        raise Problem(400, "Invalid body", "give one of css, xpath and features")
    key, source = page_source(services, request.identity, request.path["project"], body.page)
    return reader_of(services).evaluate(
        key, source, css=body.css, xpath=body.xpath, features=body.features, ending=body.ending
    )
