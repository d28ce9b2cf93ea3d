"""Reads of one row by its key, of which nearly every request makes one or two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Select

_SQLITE: Final = "sqlite"


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A query as the driver takes it."""

    text: str
    names: Sequence[str]
    """Of the parameters, in their order."""
    conversions: Sequence[tuple[int, Callable[[Any], Any]]]
    """What becomes of columns that the driver does not return as they are meant."""


class RowRead:
    """A query that finds one row at most, compiled once.

    SQLAlchemy looks a statement up, prepares its parameters and describes its result each time it
    is executed, which takes three times as long as SQLite needs for the row. On SQLite the driver
    is therefore asked itself, by the text that SQLAlchemy makes of the query; what it raises is
    known to `trouble`.
    """

    def __init__(self, query: Select[Any]) -> None:
        self.query = query
        self._compiled: _Compiled | None = None

    def first(self, connection: Connection, **values: object) -> Sequence[Any] | None:
        """Returns the row, or None; `values` are all the parameters of the query, by name."""
        if connection.dialect.name != _SQLITE:
            return connection.execute(self.query, values).first()
        compiled = self._compiled
        if compiled is None:
            compiled = self._compiled = _compile(self.query, connection.dialect)
        driver: Any = connection.connection.driver_connection
        # All of them, so that nothing of it stays open.
        rows = driver.execute(compiled.text, [values[n] for n in compiled.names]).fetchall()
        return _converted(rows[0], compiled) if rows else None


def _compile(query: Select[Any], dialect: Dialect) -> _Compiled:
    compiled: Any = query.compile(dialect=dialect)
    processors = (
        column["type"].dialect_impl(dialect).result_processor(dialect, None)
        for column in query.column_descriptions
    )
    conversions = [(at, each) for at, each in enumerate(processors) if each is not None]
    return _Compiled(str(compiled), compiled.positiontup, conversions)


def _converted(row: Sequence[Any], compiled: _Compiled) -> Sequence[Any]:
    if not compiled.conversions:
        return row
    values = list(row)
    for at, convert in compiled.conversions:
        values[at] = convert(values[at])
    return values
