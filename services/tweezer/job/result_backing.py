"""What differs from one kind of result store to another."""

from dataclasses import dataclass
from typing import Protocol

from obstore.store import ObjectStore


@dataclass(frozen=True, slots=True)
class StoreLink:
    """A link that the store itself answers, until it expires."""

    url: str
    expires_at: int


class Backing(Protocol):
    """Where the objects of a result store are.

    The methods raise what the store raises: errors of obstore, or OSError.
    """

    @property
    def store(self) -> ObjectStore:
        """Puts, sends, lists and removes objects."""

    async def require(self) -> None:
        """Raises an error when the store as a whole is gone, so that nothing in it is."""

    async def link(self, key: str) -> StoreLink | None:
        """Returns a link to an object, or None where the store has no links of its own."""

    async def remove_drafts(self, before: int) -> int:
        """Removes what crashes have left of objects that were being put; returns their number."""
