"""The logdb as it was first.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
WORDS = (
    "CREATE VIRTUAL TABLE log_words USING fts5"
    "(text, content='log_lines', content_rowid='n', tokenize='trigram', detail='none')",
    "CREATE TRIGGER log_words_insert AFTER INSERT ON log_lines BEGIN"
    " INSERT INTO log_words (rowid, text) VALUES (new.n, new.text); END",
    "CREATE TRIGGER log_words_delete AFTER DELETE ON log_lines BEGIN"
    " INSERT INTO log_words (log_words, rowid, text) VALUES ('delete', old.n, old.text); END",
)


def upgrade() -> None:
    op.create_table(
        "log_lines",
        sa.Column("n", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=255), nullable=False),
        sa.Column("project", sa.String(length=255), nullable=False),
        sa.Column("taskid", sa.String(length=255), nullable=False),
        sa.Column("callback", sa.String(length=255), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("logger", sa.String(length=255), nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("n"),
        sqlite_autoincrement=True,
    )
    op.create_index("log_lines_project", "log_lines", ["project", "n"], unique=False)
    for name, columns, where in (
        ("log_lines_task", ["taskid", "n"], "taskid <> ''"),
        ("log_lines_role", ["role", "n"], "role <> 'processor'"),
        ("log_lines_alarm", ["n"], "level >= 30"),
    ):
        op.create_index(
            name, "log_lines", columns, unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
    op.create_table(
        "log_nodes",
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=255), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node"),
        sqlite_with_rowid=False,
    )
    _make_words()


def _make_words() -> None:
    """An index of the texts, where SQLite has FTS5 with trigrams."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(WORDS[0])
    except sa.exc.OperationalError as error:
        if "fts5" not in str(error.orig) and "tokenizer" not in str(error.orig):
            raise
        return
    for trigger in WORDS[1:]:
        connection.exec_driver_sql(trigger)
