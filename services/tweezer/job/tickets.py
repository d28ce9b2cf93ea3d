"""Tickets for results: whoever has one may download one result, for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from tweezer.database.timestamps import Clock, now_micros
from tweezer.rpc.errors import NotFound
from tweezer.rpc.shared_keys import SharedKey

_ALGORITHM: Final = "HS256"

#: Tells tickets from anything else that the key might sign one day.
_AUDIENCE: Final = "tweezer.result"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to download one result until it expires."""

    text: str
    expires_at: int


class TicketOffice:
    """Issues and checks tickets."""

    def __init__(
        self,
        key: str,
        lifetime_s: int,
        clock: Clock = now_micros,
        earlier_keys: Sequence[str] = (),
    ) -> None:
        self._key, self._lifetime_s, self._clock = key, lifetime_s, clock
        self._accepted = (key, *earlier_keys)

    @classmethod
    def with_keys(cls, keys: SharedKey, lifetime_s: int) -> "TicketOffice":
        """Opens an office with the first of the keys; tickets of the others stay good."""
        key, *earlier = keys.read()
        return cls(key, lifetime_s, earlier_keys=earlier)

    def issue(self, job_id: str) -> Ticket:
        """Returns a ticket for the result of a job."""
        expiry = self._clock() // 1_000_000 + self._lifetime_s
        claims = {"sub": job_id, "aud": _AUDIENCE, "exp": expiry}
        return Ticket(jwt.encode(claims, self._key, _ALGORITHM), expiry * 1_000_000)

    def job_of(self, ticket: str) -> str:
        """Returns the job that a ticket is for, or raises NotFound."""
        for key in self._accepted:
            try:
                return str(_checked(ticket, key)["sub"])
            except jwt.PyJWTError:
                continue
        raise NotFound("this link is not valid or has expired")


def _checked(ticket: str, key: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        ticket,
        key,
        algorithms=[_ALGORITHM],
        audience=_AUDIENCE,
        options={"require": ["sub", "aud", "exp"]},
    )
    return claims
