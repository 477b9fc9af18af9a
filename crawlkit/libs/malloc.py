"""What glibc's malloc is told, which reads it at the start of a process and never again. Elsewhere it means nothing.

Pure data; imported before anything else is.
"""

from __future__ import annotations

#: It reserves 64 MiB of address space for each further arena. And what the nodes of a document leave behind is for the
#: next document, as it lies there, without looking for neighbours to join: up to a hundred pieces of each size. With
#: thousands, processes that live for months go on growing by what they once had of every size.
MALLOC = {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=100"}
