"""Whether a database answers."""

from sqlalchemy import Connection, text

from tweezer.database.database import Database
from tweezer.database.locks import has_many_writers


async def check_answers(database: Database) -> None:
    """Returns when the database takes a change, and raises when it does not.

    The transaction is empty. It waits in the same line as all others, and needs the same lock.
    """
    await database.write(_look)


def _look(connection: Connection) -> None:
    # Of a table that every file has, so that it is really read.
    here = "SELECT 1" if has_many_writers(connection) else "SELECT version_num FROM alembic_version"
    connection.execute(text(here))
