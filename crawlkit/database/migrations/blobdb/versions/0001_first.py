"""The blobdb as it was first.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("blob", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("blob"),
    )
    op.create_index("blobs_created", "blobs", ["created"], unique=False)
    op.create_table(
        "chunks",
        sa.Column("blob", sa.String(length=32), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("blob", "n"),
    )
