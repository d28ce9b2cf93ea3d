"""Identifiers: any spelling of a UUID comes in, one spelling is kept."""

from collections.abc import Iterable
from uuid import UUID

from tweezer.rpc.errors import InvalidInput


def canonical(field: str, text: str) -> str:
    """Returns the kept spelling of an identifier, or raises InvalidInput."""
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidInput(field, f"{text[:64]!r} is not a UUID.") from None


def all_canonical(field: str, texts: Iterable[str]) -> list[str]:
    """Returns the kept spelling of several identifiers, or raises InvalidInput."""
    return [canonical(field, text) for text in texts]
