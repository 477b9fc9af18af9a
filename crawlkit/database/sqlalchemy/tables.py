"""The tables, one set for every dialect. What is here is what the migrations end in; a test holds them together.

A change here needs a migration in ``crawlkit/database/migrations/<store>/versions`` and a new number in ``HEADS``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

HEADS = {"taskdb": "0007", "projectdb": "0006", "resultdb": "0003", "blobdb": "0002", "logdb": "0001"}

# A BIGINT key is not SQLite's rowid, an INTEGER one is.
BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time: sa.Double[float] = sa.Double()  # Unix time in seconds
Bytes = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_CHARSET, _BINARY = "utf8mb4", "utf8mb4_bin"


def word(length: int) -> sa.String:
    """A text of up to so many characters. Everywhere it is compared and sorted by its code points, as Python does."""
    plain = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    return plain.with_variant(mysql.VARCHAR(length, charset=_CHARSET, collation=_BINARY), "mysql", "mariadb")


def _text(of_mysql: type[mysql.TEXT] | type[mysql.LONGTEXT]) -> sa.Text:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return text.with_variant(of_mysql(charset=_CHARSET, collation=_BINARY), "mysql", "mariadb")


Name = word(64)
Text = _text(mysql.TEXT)  # up to 64 KB
LongText = _text(mysql.LONGTEXT)
# What libs.task.host_of gives: up to 255 characters. MariaDB sorts by no index over a part of a column.
Host = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(
    mysql.VARCHAR(255, charset=_CHARSET, collation=_BINARY), "mysql", "mariadb"
)  # fmt: skip


def partial_index(name: str, *columns: sa.Column[Any], where: sa.ColumnElement[bool] | sa.TextClause) -> None:
    """An index of those rows, where a database has such. PostgreSQL is told when the table is made: whoever names it
    here loads its dialect, for users of another one too."""
    index = sa.Index(name, *columns, sqlite_where=where)

    def tell(table: sa.Table, connection: sa.Connection, **_: object) -> None:
        if connection.dialect.name == "postgresql":
            index.dialect_kwargs["postgresql_where"] = where

    sa.event.listen(columns[0].table, "before_create", tell)


taskdb = sa.MetaData()

tasks = sa.Table(
    "tasks",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("taskid", Name, primary_key=True),
    sa.Column("url", LongText, nullable=False),
    sa.Column("host", Host, nullable=False),
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
    sa.Column("etag", Text),
    sa.Column("last_modified", Text),
    sa.Column("results", sa.Integer, nullable=False),
    sa.Column("lastcrawltime", Time, nullable=False),
    sa.Column("updatetime", Time, nullable=False),
)
partial_index(
    "tasks_frontier",
    tasks.c.project,
    tasks.c.partition,
    tasks.c.queue,
    tasks.c.rank,
    tasks.c.seq,
    where=tasks.c.queue.is_not(None),
)
# The same by host, for those that may not be asked as often as they have tasks.
partial_index(
    "tasks_hosts",
    tasks.c.project,
    tasks.c.queue,
    tasks.c.host,
    tasks.c.rank,
    tasks.c.seq,
    where=tasks.c.queue.is_not(None),
)
# FAILED or BAD, of which there are few. A query must repeat it to the letter for SQLite to take the index.
ended_badly = sa.text("status IN (3, 4)")
partial_index("tasks_failed", tasks.c.project, tasks.c.status, tasks.c.taskid, where=ended_badly)

# For people who look for what changed last. Only the time: a commit of the scheduler pays about 1 us a page for it.
sa.Index("tasks_updated", tasks.c.updatetime)

leases = sa.Table(
    "leases",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("taskid", Name, primary_key=True),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("node", word(255), nullable=False),
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
    sa.Column("node", word(255), nullable=False),
    sa.Column("script", word(32), nullable=False),
    sa.Column("reason", Text, nullable=False),
    sa.Column("fetch", LongText, nullable=False),
    sa.Column("process", LongText, nullable=False),
)
sa.Index("attempts_ended", attempts.c.ended)

ticks = sa.Table(
    "ticks",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("method", word(255), primary_key=True),
    sa.Column("instant", Time, primary_key=True, autoincrement=False),
    sa.Column("taskid", Name, nullable=False),
    sa.Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

nodes = sa.Table(
    "nodes",
    taskdb,
    sa.Column("node", word(255), primary_key=True),
    sa.Column("role", word(64), nullable=False),
    sa.Column("host", word(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", word(64), nullable=False),
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
    sa.Column("event", word(64), primary_key=True),
    sa.Column("reason", word(255), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

state = sa.Table(
    "state",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("name", word(255), primary_key=True),
    sa.Column("text", LongText, nullable=False),
    sqlite_with_rowid=False,
)

# How many tasks a project took on while it bounds that, by host; "*": all of them.
counts = sa.Table(
    "counts",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("host", word(255), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What a project did in a minute or an hour.
metrics = sa.Table(
    "metrics",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("width", sa.Integer, primary_key=True, autoincrement=False),  # seconds
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),  # Unix time
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("retried", sa.Integer, nullable=False),
    sa.Column("fetch_time", sa.Double, nullable=False),
    sa.Column("process_time", sa.Double, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("codes", LongText, nullable=False),  # JSON, like the next two
    sa.Column("reasons", LongText, nullable=False),
    sa.Column("hosts", LongText, nullable=False),
    sqlite_with_rowid=False,
)
sa.Index("metrics_start", metrics.c.width, metrics.c.start)

# One row per open store that commits: the id of its last commit and the largest seq it wrote.
writers = sa.Table(
    "writers",
    taskdb,
    sa.Column("writer", word(64), primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Who alone may commit to which partition.
owners = sa.Table(
    "owners",
    taskdb,
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", word(64), nullable=False),  # its row of writers
    sa.Column("node", word(255), nullable=False),
    sa.Column("until", Time, nullable=False),
    sqlite_with_rowid=False,
)

# The open stores that take part.
members = sa.Table(
    "members",
    taskdb,
    sa.Column("holder", word(64), primary_key=True),  # its row of writers, as in owners
    sa.Column("node", word(255), nullable=False),
    sa.Column("until", Time, nullable=False),
    sqlite_with_rowid=False,
)

# What others have for the owner of a partition.
mail = sa.Table(
    "mail",
    taskdb,
    sa.Column("id", BigInt, primary_key=True, autoincrement=True),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("project", Name, nullable=False),
    sa.Column("kind", word(64), nullable=False),
    sa.Column("text", LongText, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, also after the newest letters were removed
)
sa.Index("mail_partition", mail.c.partition, mail.c.id)
sa.Index("mail_project", mail.c.project, mail.c.kind)

# Tokens that the schedulers of a project share.
allowances = sa.Table(
    "allowances",
    taskdb,
    sa.Column("project", Name, primary_key=True),
    sa.Column("tokens", sa.Double, nullable=False),
    sa.Column("at", Time, nullable=False),
    sqlite_with_rowid=False,
)

projectdb = sa.MetaData()

projects = sa.Table(
    "projects",
    projectdb,
    sa.Column("name", Name, primary_key=True),
    sa.Column("group", word(64), nullable=False),
    sa.Column("status", word(16), nullable=False),
    sa.Column("script", LongText, nullable=False),
    sa.Column("comments", LongText, nullable=False),
    sa.Column("rate", sa.Double),  # NULL: unlimited
    sa.Column("burst", sa.Double, nullable=False),
    sa.Column("rate_set", sa.Boolean, nullable=False),
    sa.Column("updatetime", Time, nullable=False),
    sa.Column("version", word(32), nullable=False),
    sa.Column("pin", word(32), nullable=False, server_default=""),
    sa.Column("max_pages", sa.BigInteger),  # NULL: no bound
    sa.Column("limits", LongText),  # JSON; NULL: none
)

versions = sa.Table(
    "versions",
    projectdb,
    sa.Column("n", BigInt, primary_key=True, autoincrement=True),
    sa.Column("project", Name, nullable=False),
    sa.Column("version", word(32), nullable=False),
    sa.Column("script", LongText, nullable=False),
    sa.Column("saved", Time, nullable=False),
    sa.Column("author", word(255), nullable=False),
    sa.Column("message", Text, nullable=False),
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
    sa.Column("name", word(64), primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)

# Who may use the web UI. The names have a prefix: a server database may hold other people's tables called "users".
Digest = word(64)  # SHA-256 in hexadecimal

account_users = sa.Table(
    "account_users",
    projectdb,
    sa.Column("name", Name, primary_key=True),
    sa.Column("role", word(16), nullable=False),
    sa.Column("password", word(255), nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("changed", Time, nullable=False),
    sa.Column("seen", Time, nullable=False),
)

account_tokens = sa.Table(
    "account_tokens",
    projectdb,
    sa.Column("id", Name, primary_key=True),
    sa.Column("digest", Digest, nullable=False),
    sa.Column("user", Name, nullable=False),
    sa.Column("name", word(255), nullable=False),
    sa.Column("role", word(16), nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("expires", Time),  # NULL: never
    sa.Column("used", Time, nullable=False),
)
sa.Index("account_tokens_user", account_tokens.c.user)

account_sessions = sa.Table(
    "account_sessions",
    projectdb,
    sa.Column("digest", Digest, primary_key=True),
    sa.Column("user", Name, nullable=False),
    sa.Column("via", word(16), nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("expires", Time, nullable=False),
    sa.Column("seen", Time, nullable=False),
    sa.Column("address", word(64), nullable=False),
)
sa.Index("account_sessions_user", account_sessions.c.user)

account_links = sa.Table(
    "account_links",
    projectdb,
    sa.Column("digest", Digest, primary_key=True),
    sa.Column("user", Name, nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("expires", Time, nullable=False),
)

audit_log = sa.Table(
    "audit_log",
    projectdb,
    sa.Column("id", BigInt, primary_key=True, autoincrement=True),
    sa.Column("time", Time, nullable=False),
    sa.Column("user", Name, nullable=False),
    sa.Column("via", word(16), nullable=False),
    sa.Column("action", word(64), nullable=False),
    sa.Column("project", Name, nullable=False),
    sa.Column("detail", LongText, nullable=False),
    sa.Column("address", word(64), nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, also after the newest entries were removed
)
sa.Index("audit_log_time", audit_log.c.time)
sa.Index("audit_log_project", audit_log.c.project, audit_log.c.id)

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
    sa.Column("key_policy", word(16), nullable=False, server_default=""),
)

# One row "seq": the last number given out. Locked first by whoever saves, so numbers follow the order of commits.
result_marks = sa.Table(
    "result_marks",
    resultdb,
    sa.Column("name", word(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

positions = sa.Table(
    "positions",
    resultdb,
    sa.Column("follower", word(255), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
)

# Where results go beside this database. Whoever brings them there holds the row: see the columns fence and until.
sinks = sa.Table(
    "sinks",
    resultdb,
    sa.Column("sink", Digest, primary_key=True),
    sa.Column("url", LongText, nullable=False),
    sa.Column("series", sa.String(16), nullable=False),
    sa.Column("holder", LongText, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("until", Time, nullable=False),
    sa.Column("error", LongText, nullable=False),
    sa.Column("made", Time, nullable=False),
)

sink_progress = sa.Table(
    "sink_progress",
    resultdb,
    sa.Column("sink", Digest, primary_key=True),
    sa.Column("project", Name, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("files", sa.BigInteger, nullable=False),
    sa.Column("results", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("updated", Time, nullable=False),
    sa.Column("error", LongText, nullable=False),
)

blobdb = sa.MetaData()

blobs = sa.Table(
    "blobs",
    blobdb,
    sa.Column("blob", word(32), primary_key=True),
    sa.Column("key", Text, nullable=False),
    sa.Column("created", Time, nullable=False),
    sa.Column("chunks", sa.Integer),  # NULL until the body is whole
)
sa.Index("blobs_created", blobs.c.created)

chunks = sa.Table(
    "chunks",
    blobdb,
    sa.Column("blob", word(32), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", Bytes, nullable=False),
)

# The last fetched pages of each callback.
kept_pages = sa.Table(
    "kept_pages",
    blobdb,
    sa.Column("page", word(32), primary_key=True),
    sa.Column("project", Name, nullable=False),
    sa.Column("callback", Name, nullable=False),
    sa.Column("taskid", Name, nullable=False),
    sa.Column("url", LongText, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("kept", Time, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("stored", sa.Integer, nullable=False),
    sa.Column("data", Bytes, nullable=False),  # last, so that lists need not read it
)
sa.Index("kept_pages_callback", kept_pages.c.project, kept_pages.c.callback, kept_pages.c.kept)
sa.Index("kept_pages_kept", kept_pages.c.kept, kept_pages.c.stored)

logdb = sa.MetaData()

log_lines = sa.Table(
    "log_lines",
    logdb,
    sa.Column("n", BigInt, primary_key=True, autoincrement=True),
    sa.Column("time", Time, nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("node", word(255), nullable=False),
    sa.Column("role", word(255), nullable=False),
    sa.Column("project", word(255), nullable=False),
    sa.Column("taskid", word(255), nullable=False),
    sa.Column("callback", word(255), nullable=False),
    sa.Column("url", Text, nullable=False),
    sa.Column("logger", word(255), nullable=False),
    sa.Column("text", LongText, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, also after the newest lines were removed
)
sa.Index("log_lines_project", log_lines.c.project, log_lines.c.n)
# Most lines are of processors, and of no level of alarm. A query must repeat these to the letter for SQLite to take
# the index.
of_a_task = sa.text("taskid <> ''")
partial_index("log_lines_task", log_lines.c.taskid, log_lines.c.n, where=of_a_task)
of_few = sa.text("role <> 'processor'")
partial_index("log_lines_role", log_lines.c.role, log_lines.c.n, where=of_few)
of_alarm = sa.text("level >= 30")
partial_index("log_lines_alarm", log_lines.c.n, where=of_alarm)

log_nodes = sa.Table(
    "log_nodes",
    logdb,
    sa.Column("node", word(255), primary_key=True),
    sa.Column("role", word(255), nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),  # its newest line
    sqlite_with_rowid=False,
)

# Where SQLite can (it has FTS5, and is 3.34 or newer), an index of the trigrams of all texts. detail=none keeps only
# which line has which: what is found must be looked at, and the index is a quarter as large.
WORDS = (
    "CREATE VIRTUAL TABLE log_words USING fts5"
    "(text, content='log_lines', content_rowid='n', tokenize='trigram', detail='none')",
    "CREATE TRIGGER log_words_insert AFTER INSERT ON log_lines BEGIN"
    " INSERT INTO log_words (rowid, text) VALUES (new.n, new.text); END",
    "CREATE TRIGGER log_words_delete AFTER DELETE ON log_lines BEGIN"
    " INSERT INTO log_words (log_words, rowid, text) VALUES ('delete', old.n, old.text); END",
)


@sa.event.listens_for(log_lines, "after_create")
def make_words(table: sa.Table, connection: sa.Connection, **_: object) -> None:
    """Beside the lines, the index of their texts."""
    if connection.dialect.name != "sqlite":
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(WORDS[0])
    except sa.exc.OperationalError as error:
        if "fts5" not in str(error.orig) and "tokenizer" not in str(error.orig):
            raise
        return  # searches look at the lines themselves
    for trigger in WORDS[1:]:
        connection.exec_driver_sql(trigger)


METADATA = {"taskdb": taskdb, "projectdb": projectdb, "resultdb": resultdb, "blobdb": blobdb, "logdb": logdb}
