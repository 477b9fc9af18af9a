"""The resultdb as it was first.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

NAME = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "positions",
        sa.Column("follower", sa.String(length=255), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("follower"),
    )
    op.create_table(
        "result_marks",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "result_parts",
        sa.Column("project", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("last", sa.Boolean(), nullable=False),
        sa.Column("url", LONG_TEXT, nullable=False),
        sa.Column("results", LONG_TEXT, nullable=False),
        sa.Column("updatetime", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "taskid", "run", "attempt", "first"),
    )
    op.create_table(
        "result_runs",
        sa.Column("project", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("results", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "taskid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "results",
        sa.Column("seq", BIG_INT, autoincrement=False, nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("url", LONG_TEXT, nullable=False),
        sa.Column("result", LONG_TEXT, nullable=False),
        sa.Column("updatetime", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("results_project", "results", ["project", "seq"], unique=False)
