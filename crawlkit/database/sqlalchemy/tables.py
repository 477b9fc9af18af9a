"""The tables, one set for every dialect. What is here is what the migrations end in; a test holds them together.

A change here needs a migration in ``crawlkit/database/migrations/<store>/versions`` and a new number in ``HEADS``.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

HEADS = {"taskdb": "0001", "projectdb": "0002", "resultdb": "0002", "blobdb": "0001"}

# A BIGINT key is not SQLite's rowid, an INTEGER one is.
BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Name = sa.String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
Bytes = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
Time: sa.Double[float] = sa.Double()  # Unix time in seconds

taskdb = sa.MetaData()

tasks = sa.Table(
    "tasks",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("taskid", Name, primary_key=True),
    sa.Column("url", LongText, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("queue", sa.Integer),
    sa.Column("rank", sa.Double, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("retried", sa.Integer, nullable=False),
    sa.Column("lost", sa.Integer, nullable=False),
    sa.Column("schedule", LongText),  # JSON; NULL when nothing differs from the default
    sa.Column("fetch", LongText),  # the same
    sa.Column("process", LongText),  # the same
    sa.Column("save", LongText),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    sa.Column("results", sa.Integer, nullable=False),
    sa.Column("lastcrawltime", Time, nullable=False),
    sa.Column("updatetime", Time, nullable=False),
)
sa.Index(
    "tasks_frontier",
    tasks.c.project,
    tasks.c.queue,
    tasks.c.rank,
    tasks.c.seq,
    sqlite_where=tasks.c.queue.is_not(None),
    postgresql_where=tasks.c.queue.is_not(None),
)
# FAILED or BAD, of which there are few. A query must repeat it to the letter for SQLite to take the index.
ended_badly = sa.text("status IN (3, 4)")
sa.Index(
    "tasks_failed",
    tasks.c.project,
    tasks.c.status,
    tasks.c.taskid,
    sqlite_where=ended_badly,
    postgresql_where=ended_badly,
)

leases = sa.Table(
    "leases",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("taskid", Name, primary_key=True),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("node", sa.String(255), nullable=False),
    sa.Column("until", Time, nullable=False),
    sa.Column("since", Time, nullable=False),
    sqlite_with_rowid=False,
)

attempts = sa.Table(
    "attempts",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("taskid", Name, primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started", Time, nullable=False),
    sa.Column("ended", Time, nullable=False),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("node", sa.String(255), nullable=False),
    sa.Column("script", sa.String(32), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("fetch", LongText, nullable=False),
    sa.Column("process", LongText, nullable=False),
)
sa.Index("attempts_ended", attempts.c.ended)

ticks = sa.Table(
    "ticks",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("method", sa.String(255), primary_key=True),
    sa.Column("instant", Time, primary_key=True, autoincrement=False),
    sa.Column("taskid", Name, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

nodes = sa.Table(
    "nodes",
    taskdb,
    sa.Column("node", sa.String(255), primary_key=True),
    sa.Column("role", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("started", Time, nullable=False),
    sa.Column("seen", Time, nullable=False),
    sa.Column("stats", LongText, nullable=False),
    sa.Column("alive", sa.Boolean, nullable=False),
    sqlite_with_rowid=False,
)

ledger = sa.Table(
    "ledger",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("event", sa.String(64), primary_key=True),
    sa.Column("reason", sa.String(255), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

state = sa.Table(
    "state",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("text", LongText, nullable=False),
    sqlite_with_rowid=False,
)

# One row per open store that commits: the id of its last commit and the largest seq it wrote.
writers = sa.Table(
    "writers",
    taskdb,
    sa.Column("writer", sa.String(64), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

projectdb = sa.MetaData()

projects = sa.Table(
    "projects",
    projectdb,
    sa.Column("name", Name, primary_key=True),
    sa.Column("group", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("script", LongText, nullable=False),
    sa.Column("comments", LongText, nullable=False),
    sa.Column("rate", sa.Double),  # NULL: unlimited
    sa.Column("burst", sa.Double, nullable=False),
    sa.Column("rate_set", sa.Boolean, nullable=False),
    sa.Column("updatetime", Time, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
)

versions = sa.Table(
    "versions",
    projectdb,
    sa.Column("n", BigInt, primary_key=True, autoincrement=True),
    sa.Column("project", Name, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("script", LongText, nullable=False),
    sa.Column("saved", Time, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)
sa.Index("versions_project", versions.c.project, versions.c.version)

# What projects are given: the values are encrypted before they come here.
settings = sa.Table(
    "settings",
    projectdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("name", Name, primary_key=True),
    sa.Column("sealed", LongText, nullable=False),
    sa.Column("secret", sa.Boolean, nullable=False),
    sa.Column("updatetime", Time, nullable=False),
)

# One row "updatetime": the latest that was given out, also when its project is gone.
project_marks = sa.Table(
    "project_marks",
    projectdb,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)

resultdb = sa.MetaData()

results = sa.Table(
    "results",
    resultdb,
    sa.Column("seq", BigInt, primary_key=True, autoincrement=False),
    sa.Column("project", Name, nullable=False),
    sa.Column("taskid", Name, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("url", LongText, nullable=False),
    sa.Column("result", LongText, nullable=False),
    sa.Column("updatetime", Time, nullable=False),
)
sa.Index("results_project", results.c.project, results.c.seq)

# The visible run of a task. Its rows have the numbers first ... first + results - 1: a set comes in one piece. Those of
# results whose key was known, or came again later, are missing.
result_runs = sa.Table(
    "result_runs",
    resultdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("taskid", Name, primary_key=True),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("results", sa.Integer, nullable=False),
    sa.Column("known", sa.Integer, nullable=False, server_default="0"),  # not kept, because their key was known
    sqlite_with_rowid=False,
)

# Where the result with a key is.
result_keys = sa.Table(
    "result_keys",
    resultdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("digest", Name, primary_key=True),  # sha256 of the key
    sa.Column("taskid", Name, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
sa.Index("result_keys_task", result_keys.c.project, result_keys.c.taskid)

# Parts that wait for the rest of their set.
result_parts = sa.Table(
    "result_parts",
    resultdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("taskid", Name, primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.Integer, nullable=False),  # how many results
    sa.Column("last", sa.Boolean, nullable=False),
    sa.Column("url", LongText, nullable=False),
    sa.Column("results", LongText, nullable=False),  # JSON list of JSON texts
    sa.Column("updatetime", Time, nullable=False),
    sa.Column("key_texts", LongText),  # JSON list; NULL: no keys
    sa.Column("key_policy", sa.String(16), nullable=False, server_default=""),
)

# One row "seq": the last number given out. Locked first by whoever saves, so numbers follow the order of commits.
result_marks = sa.Table(
    "result_marks",
    resultdb,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

positions = sa.Table(
    "positions",
    resultdb,
    sa.Column("follower", sa.String(255), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
)

blobdb = sa.MetaData()

blobs = sa.Table(
    "blobs",
    blobdb,
    sa.Column("blob", sa.String(32), primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("chunks", sa.Integer),  # NULL until the body is whole
)
sa.Index("blobs_created", blobs.c.created)

chunks = sa.Table(
    "chunks",
    blobdb,
    sa.Column("blob", sa.String(32), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", Bytes, nullable=False),
)

METADATA = {"taskdb": taskdb, "projectdb": projectdb, "resultdb": resultdb, "blobdb": blobdb}
