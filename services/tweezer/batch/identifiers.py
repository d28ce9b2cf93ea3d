"""Identifiers of batches and jobs."""

import uuid


def new_batch_id() -> str:
    """Returns an identifier for a new batch."""
    return str(uuid.uuid4())


def new_addition_id() -> str:
    """Returns an identifier for a new addition of jobs."""
    return str(uuid.uuid4())


def job_ids(batch_id: str, first_order: int, count: int) -> list[str]:
    """Returns the identifiers of some jobs of a batch.

    They follow from the batch and the creation order, so that the batch service knows them all
    without a table of them.
    """
    batch = uuid.UUID(batch_id)
    return [str(uuid.uuid5(batch, str(first_order + i))) for i in range(count)]


def canonical_uuid(text: str) -> str | None:
    """Returns the canonical spelling of a UUID in any of its spellings, or None for no UUID."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
