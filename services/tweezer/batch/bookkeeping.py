"""Tables of what is kept beside the batches.

Names of calls, how much each project has, and messages to web servers.
"""

from typing import Final

from sqlalchemy import BigInteger, Index, Table, UniqueConstraint
from sqlmodel import Field

from tweezer.batch.base import BatchTable, counted_key
from tweezer.webhooks.models import Delivery, delivery_rules, index_deliveries


class Request(BatchTable, table=True):
    """A call that its caller has named, so that the same call sent again does nothing.

    It is stored together with what the call made. The batch may be deleted before the row is.
    """

    __tablename__ = "request"
    __table_args__ = (
        UniqueConstraint("user_id", "request_id", name="uq_request_user_id_request_id"),
        {"sqlite_autoincrement": True},
    )

    seq: int = Field(sa_column=counted_key())
    user_id: str
    request_id: str  #: the caller's name for the call
    digest: str  #: SHA-256 of the call
    batch_id: str
    addition_id: str
    expires_at: int = Field(sa_type=BigInteger)  #: from when on the name is free again


class ProjectLoad(BatchTable, table=True):
    """How much a project has, changed in the transactions that change it.

    Counting rows instead would take the longer the more there are. The row is changed last in a
    transaction, so that whoever waits for it holds nothing that its holder could want.
    """

    __tablename__ = "project_load"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: int = Field(sa_column=counted_key())
    project_id: str = Field(unique=True)
    batches: int = Field(sa_type=BigInteger)
    unfinished_jobs: int = Field(sa_type=BigInteger)
    #: Of the sequences that count for it. Those of its results, JobService counts.
    sequence_bytes: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    last_activity_at: int = Field(sa_type=BigInteger)  #: when jobs were last taken in


class WebhookDelivery(Delivery, BatchTable, table=True):
    """A message about a batch to a web server of its user."""

    __tablename__ = "webhook_delivery"
    __table_args__ = delivery_rules()

    seq: int = Field(sa_column=counted_key())


REQUEST: Final[Table] = BatchTable.metadata.tables["request"]
PROJECT_LOAD: Final[Table] = BatchTable.metadata.tables["project_load"]
WEBHOOK_DELIVERY: Final[Table] = BatchTable.metadata.tables["webhook_delivery"]

Index("ix_request_expires", REQUEST.c.expires_at)
index_deliveries(WEBHOOK_DELIVERY)
