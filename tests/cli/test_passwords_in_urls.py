"""Every way in that takes a URL: what is wrong is said in one line with exit code 2, and without the password [R30]."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlkit.cli import run

LINES = [
    (["--taskdb", "postgresql+foo+taskdb://crawl@corp:S3CRET@127.0.0.1:1/x", "audit"], "crawl@corp:***@127.0.0.1:1/x"),
    (["--taskdb", "postgresql+taskdb://u:S3?CRET@127.0.0.1:1/x", "audit"], "u:***@127.0.0.1:1/x"),
    (["--database", "mysql+pymysql://crawl@srv:S3CRET@127.0.0.1:1/cr.awl", "audit"], "crawl@srv:***@"),
    (["--taskdb", "postgresql+taskdb://h/d?sslpassword=S3CRET", "audit"], "unknown option 'sslpassword'"),
    (["--taskdb", "mysql+taskdb://h/d?passwor%64=S3CRET", "audit"], "passwor%64=***"),
    (["--sink", "csv+sftp://u@corp:S3CRET@h/x?rows=zz", "result_worker"], "u@corp:***@h/x: rows=zz"),
    (["--sink", "csv+sftp://u:S3/CRET@h/x?rows=zz", "result_worker"], "u:***@h/x: rows=zz"),
    (["backup", "nonsense://u@corp:S3CRET@127.0.0.1/x.tar.gz"], "u@corp:***@127.0.0.1/x.tar.gz"),
    (["restore", "ftp://u:S3/CRET@127.0.0.1:1/x.tar.gz"], "u:***@127.0.0.1:1/x.tar.gz"),
    (["restore", "u:S3/CRET@127.0.0.1"], "u:***@127.0.0.1"),
    (["--message-queue", "S3CRET@host", "fetcher"], "***@host"),
    (["--message-queue", "redis://:S3?CRET@127.0.0.1:1", "fetcher"], "message queue redis://"),
    (["--message-queue", "amqp://u:S3[CRET@127.0.0.1:1/", "fetcher"], "u:***@127.0.0.1:1/"),
    (["--message-queue", "manager://u:S3/CRET@127.0.0.1:1", "fetcher"], "message queue manager://"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), LINES, ids=[" ".join(line) for line, _ in LINES])
def test_no_password_is_said(
    line: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir(exist_ok=True)
    assert run(["--data-path", str(tmp_path / "data"), *line]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "CRET" not in said.err + said.out
    assert "S3" not in said.err
    assert "internal error" not in said.err


def test_a_url_that_kombu_does_not_understand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("kombu")
    test_no_password_is_said(
        ["--message-queue", "kombu+amqp://u:S3/CRET@127.0.0.1:1/", "fetcher"], "u:***@127.0.0.1:1/", tmp_path,
        monkeypatch, capsys,
    )  # fmt: skip
