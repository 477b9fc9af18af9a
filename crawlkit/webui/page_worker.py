"""Reads crawled pages for previews and selectors, in a process that can be ended.

Pages and selectors are hostile and cannot be stopped from inside: so they are handled here, under limits of memory and
time, and the web UI ends this process when it must.

Asked over its standard input, answers on its standard output: frames of a length and msgpack. Ends with its input.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
import sys
from collections import OrderedDict
from typing import Any, BinaryIO

import msgspec

from crawlkit.webui.page_tree import PageTree
from crawlkit.webui.preview import render
from crawlkit.webui.selector_values import Evaluation, SelectorProblem, evaluate
from crawlkit.webui.selectors import compose, propose

KEPT_TREES = 6
KEPT_BYTES = 8 << 20  # of the pages whose trees are kept; the newest is kept at any size
NICER = 5
OUT_OF_MEMORY = 3  # exit status
LENGTH = struct.Struct(">I")


class Source(msgspec.Struct, frozen=True):
    """A page to read."""

    body: bytes
    content_type: str
    url: str
    encoding: str | None


class Order(msgspec.Struct, frozen=True):
    """What to do with a page. Without ``source`` the page is one that was read before under ``key``."""

    what: str
    key: str
    seconds: int
    """After which this process ends itself, should nobody else do it."""
    options: dict[str, Any]
    source: Source | None = None


class Done(msgspec.Struct, frozen=True):
    """The answer. ``problem``: the selector is none, in words; ``unknown``: the page has to be sent along."""

    value: Any = None
    problem: str = ""
    unknown: bool = False


class Reader:
    """Pages by key, and what is done with them."""

    def __init__(self) -> None:
        self._trees: OrderedDict[str, PageTree] = OrderedDict()

    def answer(self, order: Order) -> Done:
        tree = self._tree(order)
        if tree is None:
            return Done(unknown=True)
        try:
            return Done(getattr(self, f"_{order.what}")(tree, **order.options))
        except SelectorProblem as problem:
            return Done(problem=str(problem))

    def _tree(self, order: Order) -> PageTree | None:
        tree = self._trees.get(order.key)
        if tree is None and order.source is not None:
            source = order.source
            tree = PageTree(source.body, source.content_type, source.url, source.encoding)
            self._trees[order.key] = tree
            self._make_room()
        if tree is not None:
            self._trees.move_to_end(order.key)
        return tree

    def _make_room(self) -> None:
        while len(self._trees) > 1 and (
            len(self._trees) > KEPT_TREES
            or sum(len(tree.response.content) for tree in self._trees.values()) > KEPT_BYTES
        ):
            self._trees.popitem(last=False)

    def _preview(self, tree: PageTree, nonce: str, channel: str, loads: bool) -> Any:
        return render(tree, nonce, channel, loads)

    def _propose(self, tree: PageTree, picked: list[int], ending: str | None) -> Any:
        return propose(tree, picked, ending)

    def _evaluate(
        self,
        tree: PageTree,
        css: str | None,
        xpath: str | None,
        features: list[list[list[str]]] | None,
        ending: str | None,
    ) -> Evaluation:
        try:
            if features is None:
                return evaluate(tree, css, xpath, ending)
            css, xpath = compose(features)
            other = evaluate(tree, None, xpath, ending)
            found = other if css is None else evaluate(tree, css, None, ending)
            return msgspec.structs.replace(found, xpath=xpath, insert_xpath=other.insert_xpath)
        except SelectorProblem as problem:  # while somebody types, most texts are no selectors: no refusal
            return Evaluation(css, xpath, 0, [], [], 0, None, None, str(problem))


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answers until ``asked`` ends."""
    reader = Reader()
    decode, encode = msgspec.msgpack.Decoder(Order).decode, msgspec.msgpack.Encoder().encode
    while True:
        head = asked.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return
        order = decode(asked.read(LENGTH.unpack(head)[0]))
        signal.alarm(order.seconds)
        frame = encode(reader.answer(order))
        signal.alarm(0)
        answers.write(LENGTH.pack(len(frame)) + frame)
        answers.flush()


def main() -> None:
    """The whole process; its argument is how much memory it may have, in bytes."""
    memory = int(sys.argv[1])
    with contextlib.suppress(ValueError, OSError):  # some systems have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICER)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the web UI's; its end closes our input
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    try:
        serve(sys.stdin.buffer, answers)
    except MemoryError:  # the web UI sees the end, says so to who asked, and starts another
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
