"""Reads of one row give on both databases what SQLAlchemy gives, and fail as other reads do."""

import sqlite3
from collections.abc import Iterator

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    insert,
    make_url,
    select,
)

from tweezer.database.opening import create_engine_of
from tweezer.database.row_read import RowRead
from tweezer.database.trouble import DatabaseUnavailable, trouble_told

METADATA = MetaData()
THING = Table(
    "thing",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("name", String),
    Column("large", BigInteger),
    Column("good", Boolean),
    Column("bad", Boolean),
)
ROW = {"number": 1, "name": "ünï ' \"", "large": 2**40, "good": True, "bad": None}
#: One column twice, a boolean behind it, and parameters in another order than their names have.
QUERY = select(THING.c.name, THING.c.name, *THING.c).where(
    THING.c.large >= bindparam("b"), THING.c.number == bindparam("a"), THING.c.good
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path) -> Iterator[Engine]:
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.empty()
    else:
        url = make_url(f"sqlite:///{tmp_path / 'test.db'}")
    engine = create_engine_of(url)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(THING), ROW)
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        server.drop(url)


def test_a_row_is_what_sqlalchemy_makes_of_it(engine: Engine) -> None:
    read = RowRead(QUERY)
    with engine.connect() as connection:
        for _ in range(2):  # compiled and then known
            row = read.first(connection, a=1, b=0)
            assert row is not None
            assert list(row) == list(connection.execute(QUERY, {"a": 1, "b": 0}).one())
            assert [row[0], *row[2:]] == [ROW["name"], *ROW.values()]
            assert row[5] is True
        assert read.first(connection, a=2, b=0) is None
        assert read.first(connection, a=1, b=2**41) is None


def test_it_sees_what_its_transaction_has_done(engine: Engine) -> None:
    read = RowRead(select(THING.c.name).where(THING.c.number == bindparam("number")))
    with engine.connect() as connection:
        with connection.begin() as transaction:
            connection.execute(insert(THING), {**ROW, "number": 2})
            assert read.first(connection, number=2) is not None
            transaction.rollback()
        assert read.first(connection, number=2) is None


def test_what_sqlite_says_about_itself_is_told_as_such(tmp_path) -> None:
    # Without a log that is written ahead, a writer keeps readers out.
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}", connect_args={"timeout": 0})
    METADATA.create_all(engine)
    read = RowRead(select(THING.c.name).where(THING.c.number == bindparam("number")))
    with engine.connect() as one, engine.connect() as other:
        one.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailable, match="locked by another program"), trouble_told():
            read.first(other, number=1)
    engine.dispose()


def test_what_is_an_error_of_ours_is_passed_on(tmp_path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    read = RowRead(select(THING.c.name).where(THING.c.number == bindparam("number")))
    with (
        engine.connect() as connection,
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        trouble_told(),
    ):
        read.first(connection, number=1)
    engine.dispose()
