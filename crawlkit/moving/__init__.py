"""Moves what a crawl has: to other databases, into an archive and out of one, and from pyspider's databases.

Works on stores that somebody else opened. Rows are carried as they are; nothing here decides about a crawl.
"""
