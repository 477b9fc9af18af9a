"""An index over the time of the last change, so that people can look back from the newest task.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("tasks_updated", "tasks", ["updatetime"], unique=False)
