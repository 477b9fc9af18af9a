"""What projects did, by the minute and by the hour.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "metrics",
        sa.Column("project", NAME, nullable=False),
        sa.Column("width", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("start", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("retried", sa.Integer(), nullable=False),
        sa.Column("fetch_time", sa.Double(), nullable=False),
        sa.Column("process_time", sa.Double(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("codes", LONG_TEXT, nullable=False),
        sa.Column("reasons", LONG_TEXT, nullable=False),
        sa.Column("hosts", LONG_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("project", "width", "start"),
        sqlite_with_rowid=False,
    )
    op.create_index("metrics_start", "metrics", ["width", "start"], unique=False)
