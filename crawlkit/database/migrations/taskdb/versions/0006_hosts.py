"""An index over the hosts of what waits, so that one of them can be read without the others.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    length = "length" if dialect == "sqlite" else "char_length"
    op.execute(f"UPDATE tasks SET host = substr(host, 1, 255) WHERE {length}(host) > 255")
    if dialect in ("mysql", "mariadb"):
        host = mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")
        op.alter_column("tasks", "host", type_=host, existing_nullable=False)
    op.create_index(
        "tasks_hosts",
        "tasks",
        ["project", "queue", "host", "rank", "seq"],
        unique=False,
        sqlite_where=sa.text("queue IS NOT NULL"),
        postgresql_where=sa.text("queue IS NOT NULL"),
    )
