"""Results with keys.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "result_keys",
        sa.Column("project", NAME, nullable=False),
        sa.Column("digest", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("result_keys_task", "result_keys", ["project", "taskid"], unique=False)
    op.add_column("result_runs", sa.Column("known", sa.Integer(), server_default="0", nullable=False))
    op.add_column("result_parts", sa.Column("key_texts", LONG_TEXT, nullable=True))
    op.add_column("result_parts", sa.Column("key_policy", sa.String(length=16), server_default="", nullable=False))
