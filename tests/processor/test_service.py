"""ProcessorService with real worker processes and in-memory queues."""

from __future__ import annotations

import asyncio

from tests.processor.helpers import bench, fetched, script


def test_a_page_becomes_a_result_and_follow_ups() -> None:
    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save(
                "one",
                script(
                    """
                    def page(self, response):
                        self.crawl("http://example.com/next", callback=self.page)
                        return {"title": response.doc("title").text()}
                    """
                ),
            )
            (outcome,) = await it.run(fetched("one", version))
            assert outcome.ok
            assert outcome.results == ['{"title":"t"}']
            assert len(outcome.follows) == 1
            assert outcome.part == 0
            assert it.ways["http://example.com/"] == {"processor2result"}

    asyncio.run(scene())
