"""The result worker: results durable before their task is done."""

from crawlkit.result.worker import ResultWorker

__all__ = ["ResultWorker"]
