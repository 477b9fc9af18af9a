"""crawlkit: a crawl framework in the pyspider tradition."""

__version__ = "0.1.0.dev0"
