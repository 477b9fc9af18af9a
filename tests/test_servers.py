"""The shared servers answer, or the tests that need them say why they do not run."""

from __future__ import annotations

import pytest
import sqlalchemy

from tests import servers


@pytest.mark.parametrize("name", ["postgres", "mariadb"])
def test_a_fresh_database_is_empty_and_goes_again(name):
    with servers.fresh_database(name) as url:
        engine = sqlalchemy.create_engine(url)
        assert sqlalchemy.inspect(engine).get_table_names() == []
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("select 1")).scalar() == 1
        engine.dispose()
    with pytest.raises(sqlalchemy.exc.OperationalError):
        sqlalchemy.create_engine(url).connect()


def test_who_needs_a_server_that_is_not_there_is_told(monkeypatch):
    port = servers.free_port()
    monkeypatch.setenv("CRAWLKIT_TEST_REDIS", f"redis://127.0.0.1:{port}/0")
    monkeypatch.delenv("CRAWLKIT_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"redis at redis://127.0.0.1:{port}"):
        servers.redis_url()
    monkeypatch.setenv("CRAWLKIT_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="CRAWLKIT_TEST_REDIS"):
        servers.redis_url()
