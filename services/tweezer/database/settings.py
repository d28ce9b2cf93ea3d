"""Settings of every process that keeps something in a database."""

from pydantic import Field

from tweezer.process.settings import ProcessSettings


class DatabaseSettings(ProcessSettings):
    """Facts of databases, whichever they are."""

    database_connections: int = Field(default=8, ge=4)
    """Most connections that a process keeps to a database of PostgreSQL: half of them for changes,
    the others for reads. SQLite has three, whatever this says."""
    take_over_interval_s: float = Field(default=10, gt=0)
    """How often a replica looks for work that another may have left undone when it died, in
    seconds. Where the database is SQLite there are no other replicas."""
