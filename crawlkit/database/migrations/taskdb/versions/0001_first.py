"""The taskdb as it was first.

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


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("project", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("script", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fetch", LONG_TEXT, nullable=False),
        sa.Column("process", LONG_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("project", "taskid", "run", "attempt"),
    )
    op.create_index("attempts_ended", "attempts", ["ended"], unique=False)
    op.create_table(
        "leases",
        sa.Column("project", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "taskid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger",
        sa.Column("project", NAME, nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "event", "reason"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nodes",
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.Column("stats", LONG_TEXT, nullable=False),
        sa.Column("alive", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("node"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "state",
        sa.Column("project", NAME, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("project", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tasks",
        sa.Column("project", NAME, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("url", LONG_TEXT, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Integer(), nullable=True),
        sa.Column("rank", sa.Double(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("retried", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("schedule", LONG_TEXT, nullable=True),
        sa.Column("fetch", LONG_TEXT, nullable=True),
        sa.Column("process", LONG_TEXT, nullable=True),
        sa.Column("save", LONG_TEXT, nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.Column("results", sa.Integer(), nullable=False),
        sa.Column("lastcrawltime", sa.Double(), nullable=False),
        sa.Column("updatetime", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "taskid"),
    )
    op.create_index(
        "tasks_failed",
        "tasks",
        ["project", "status", "taskid"],
        unique=False,
        sqlite_where=sa.text("status IN (3, 4)"),
        postgresql_where=sa.text("status IN (3, 4)"),
    )
    op.create_index(
        "tasks_frontier",
        "tasks",
        ["project", "queue", "rank", "seq"],
        unique=False,
        sqlite_where=sa.text("queue IS NOT NULL"),
        postgresql_where=sa.text("queue IS NOT NULL"),
    )
    op.create_table(
        "ticks",
        sa.Column("project", NAME, nullable=False),
        sa.Column("method", sa.String(length=255), nullable=False),
        sa.Column("instant", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("taskid", NAME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "method", "instant"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "writers",
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("writer"),
        sqlite_with_rowid=False,
    )
