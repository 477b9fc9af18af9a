"""The last fetched pages of each callback.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "kept_pages",
        sa.Column("page", sa.String(32), nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("callback", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("url", LONG_TEXT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Double(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("data", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("page"),
    )
    op.create_index("kept_pages_callback", "kept_pages", ["project", "callback", "kept"], unique=False)
    op.create_index("kept_pages_kept", "kept_pages", ["kept", "stored"], unique=False)
