"""Tickets for results: whoever has one may download one result, for a while."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt

from tweezer.database.timestamps import Clock, now_micros
from tweezer.rpc.errors import NotFound
from tweezer.rpc.service_key import ensure_service_key, read_service_key

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

    def __init__(self, key: str, lifetime_s: int, clock: Clock = now_micros) -> None:
        self._key, self._lifetime_s, self._clock = key, lifetime_s, clock

    @classmethod
    def with_key_file(cls, key_file: Path, lifetime_s: int) -> "TicketOffice":
        """Opens an office whose key is in a file, which is made if need be."""
        ensure_service_key(key_file)
        return cls(read_service_key(key_file), lifetime_s)

    def issue(self, job_id: str) -> Ticket:
        """Returns a ticket for the result of a job."""
        expiry = self._clock() // 1_000_000 + self._lifetime_s
        claims = {"sub": job_id, "aud": _AUDIENCE, "exp": expiry}
        return Ticket(jwt.encode(claims, self._key, _ALGORITHM), expiry * 1_000_000)

    def job_of(self, ticket: str) -> str:
        """Returns the job that a ticket is for, or raises NotFound."""
        try:
            claims = jwt.decode(
                ticket,
                self._key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options={"require": ["sub", "aud", "exp"]},
            )
        except jwt.PyJWTError:
            raise NotFound("this link is not valid or has expired") from None
        return str(claims["sub"])
