"""All stores in plain Python structures, for ``memory://``.

They keep every promise but that of outliving the process. What they hold is bounded by the data alone.
"""

from crawlkit.database.memory.accountstore import MemoryAccountStore
from crawlkit.database.memory.blobstore import MemoryBlobStore
from crawlkit.database.memory.logstore import MemoryLogStore
from crawlkit.database.memory.projectstore import MemoryProjectStore
from crawlkit.database.memory.resultstore import MemoryResultStore
from crawlkit.database.memory.taskstore import MemoryTaskStore

__all__ = [
    "MemoryAccountStore",
    "MemoryBlobStore",
    "MemoryLogStore",
    "MemoryProjectStore",
    "MemoryResultStore",
    "MemoryTaskStore",
]
