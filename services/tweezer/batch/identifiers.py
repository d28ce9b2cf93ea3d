"""Identifiers of batches and jobs."""

import hashlib
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
    without a table of them: each is `uuid.uuid5(batch, str(creation_order))`, which is written out
    here because it is asked for by the hundred, and takes a third of the time so.
    """
    batch = hashlib.sha1(uuid.UUID(batch_id).bytes, usedforsecurity=False)
    return [_version_5(batch, order) for order in range(first_order, first_order + count)]


def _version_5(namespace: "hashlib._Hash", order: int) -> str:
    name = namespace.copy()
    name.update(b"%d" % order)
    digits = name.hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def canonical_uuid(text: str) -> str | None:
    """Returns the canonical spelling of a UUID in any of its spellings, or None for no UUID."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
