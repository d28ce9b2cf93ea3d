"""Identifiers of batches and jobs."""

import hashlib
import uuid
from typing import Final

#: The version of identifiers whose layout is our own (RFC 9562).
_OWN: Final = 8

#: Digits that the identifiers of a batch and of its jobs begin with. Jobs of a batch are stored
#: together, and each index page that they change costs time: at random they would change as many
#: as there are jobs. With four digits they share a page or two among a few million others, and
#: still differ in the first eight, by which people tell them apart.
_SHARED: Final = 4

#: The digit that says the variant, by what is there otherwise: two of its bits are free.
_VARIANTS: Final = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}


def new_batch_id() -> str:
    """Returns an identifier for a new batch: a UUID at random, but for its version, which is 8."""
    return _spelled(uuid.uuid4().hex, "", _OWN)


def new_addition_id() -> str:
    """Returns an identifier for a new addition of jobs."""
    return str(uuid.uuid4())


def job_ids(batch_id: str, first_order: int, count: int) -> list[str]:
    """Returns the identifiers of some jobs of a batch.

    They follow from the batch and the creation order, so that the batch service knows them all
    without a table of them: UUIDs of version 8 that begin as the batch does, and go on as
    `uuid.uuid5(batch, str(creation_order))`. Where the batch is of another version, as the first
    ones were, they are that as a whole.
    """
    batch = uuid.UUID(batch_id)
    # Not `uuid.uuid5`: it is asked for by the hundred, and takes four times as long.
    digest = hashlib.sha1(batch.bytes, usedforsecurity=False)
    begin, version = (batch.hex[:_SHARED], _OWN) if batch.version == _OWN else ("", 5)
    orders = range(first_order, first_order + count)
    return [_spelled(_name(digest, order), begin, version) for order in orders]


def _name(namespace: "hashlib._Hash", order: int) -> str:
    name = namespace.copy()
    name.update(b"%d" % order)
    return name.hexdigest()


def _spelled(digits: str, begin: str, version: int) -> str:
    """Returns a UUID with these hexadecimal digits, but for its begin, version and variant."""
    head = f"{begin}{digits[len(begin) : 8]}-{digits[8:12]}-{version}{digits[13:16]}"
    return f"{head}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:32]}"


def canonical_uuid(text: str) -> str | None:
    """Returns the canonical spelling of a UUID in any of its spellings, or None for no UUID."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
