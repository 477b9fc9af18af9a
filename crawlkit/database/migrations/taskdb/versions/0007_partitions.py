"""Several schedulers on one taskdb: what waits by partition, members, letters, shared allowances.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def word(length: int) -> sa.String:
    plain = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    return plain.with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def long_text() -> sa.Text:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return text.with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "members",
        sa.Column("holder", word(64), nullable=False),
        sa.Column("node", word(255), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("holder"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mail",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("project", word(64), nullable=False),
        sa.Column("kind", word(64), nullable=False),
        sa.Column("text", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("mail_partition", "mail", ["partition", "id"], unique=False)
    op.create_index("mail_project", "mail", ["project", "kind"], unique=False)
    op.create_table(
        "allowances",
        sa.Column("project", word(64), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project"),
        sqlite_with_rowid=False,
    )
    op.drop_index("tasks_frontier", table_name="tasks")
    op.create_index(
        "tasks_frontier",
        "tasks",
        ["project", "partition", "queue", "rank", "seq"],
        unique=False,
        sqlite_where=sa.text("queue IS NOT NULL"),
        postgresql_where=sa.text("queue IS NOT NULL"),
    )
