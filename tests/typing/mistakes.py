"""Mistakes that `mypy --strict` must find; each line says which error."""

from typing import Any

from crawlkit import BaseHandler, Response, config, every


class Shop(BaseHandler):
    @every(minute=5)  # call-overload
    def on_start(self) -> None:
        self.crawl("http://a.com/", callbak=self.page)  # call-overload
        self.crawl("http://a.com/", callback=self.page, priority="high")  # call-overload
        self.crawl("http://a.com/", callback=self.pages)  # attr-defined

    @config(age="1 day")  # call-overload
    def page(self, response: Response) -> Any:
        print(response.status)  # attr-defined
        return response.text()  # operator

    async def slow(self, response: Response) -> None:
        print(self.fetch("http://a.com/").text)  # attr-defined
        await self.fetch("http://a.com/", callback=self.page)  # call-arg
        response.form("#login").fill(user="me").submit()  # attr-defined
        self.drop(5)  # arg-type
