"""Stores that files go to."""

from tests.files.stores import s3_endpoint, s3_url, url

__all__ = ["s3_endpoint", "s3_url", "url"]
