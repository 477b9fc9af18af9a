"""A crawl that can be proven: a site made for it, a server for that, the truth about it, and what the crawl cost.

For ``crawlkit bench`` and for the benchmarks of a checkout. Nothing of a user's data is read or written here.
"""
