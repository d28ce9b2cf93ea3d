"""Tables of what is known of each project as a whole."""

from typing import Final

from sqlalchemy import BigInteger, Table
from sqlmodel import Field

from tweezer.job.base import JobTable, counted_key


class ProjectStorage(JobTable, table=True):
    """How much the results of a project take, changed in the transactions that change it.

    Adding them up instead would take the longer the more there are. The row is changed last in a
    transaction, so that whoever waits for it holds nothing that its holder could want.
    """

    __tablename__ = "project_storage"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=counted_key())
    project_id: str = Field(unique=True)
    result_bytes: int = Field(sa_type=BigInteger)


class ProjectHistory(JobTable, table=True):
    """How often a project's older jobs became fewer or more, raised in the transactions that do so.

    While the number stays, each of these jobs has as many older ones as before. The row is changed
    after everything else in a transaction, that of ProjectStorage included.
    """

    __tablename__ = "project_history"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=counted_key())
    project_id: str = Field(unique=True)
    rewrites: int = Field(sa_type=BigInteger)


PROJECT_STORAGE: Final[Table] = JobTable.metadata.tables["project_storage"]
PROJECT_HISTORY: Final[Table] = JobTable.metadata.tables["project_history"]
