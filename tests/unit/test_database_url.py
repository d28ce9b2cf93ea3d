from pathlib import Path

import pytest
from pydantic import SecretStr

from tweezer.database.url import database_url, is_postgres
from tweezer.process.run import StartFailed

FILE = Path("/data/job.db")


def url_of(given: str | None):
    return database_url("THE_SETTING", None if given is None else SecretStr(given), FILE)


def test_without_a_setting_it_is_the_file_in_the_data_folder() -> None:
    assert (url_of(None).drivername, url_of(None).database) == ("sqlite", str(FILE))


def test_a_file_of_ones_own() -> None:
    assert url_of("sqlite:////elsewhere/jobs.db").database == "/elsewhere/jobs.db"
    assert url_of("sqlite:///jobs.db").database == str(Path("jobs.db").absolute())


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_server(scheme: str) -> None:
    url = url_of(f"{scheme}://ada:secret@host:5433/tweezer?sslmode=require")
    assert is_postgres(url)
    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.host, url.port, url.database) == ("ada", "host", 5433, "tweezer")
    assert "secret" not in str(url)


@pytest.mark.parametrize(
    "given",
    [
        "secret",
        "secret://",
        "mysql://ada:secret@host/db",
        "postgresql+asyncpg://ada:secret@host/db",
        "postgresql://ada:secret@host",
        "postgresql://ada:secret@host:port/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://host/secret",
        "sqlite:///file?mode=secret",
    ],
)
def test_what_is_wrong_is_said_without_the_password(given: str) -> None:
    with pytest.raises(StartFailed, match="THE_SETTING") as refused:
        url_of(given)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
