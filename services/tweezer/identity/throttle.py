"""Makes guessing of passwords slow: failed log-ins are counted by name and by address."""

import hashlib
from typing import Final, NamedTuple

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.identity import failed_logins
from tweezer.identity.settings import IdentitySettings
from tweezer.rpc.errors import TooMuch

_MICROS: Final = 1_000_000


class _Patience(NamedTuple):
    """How many failures are borne at once, and the time after which one more is."""

    failures: int
    pause: int

    def wait(self, until: int, now: int) -> int:
        """Returns how long to wait where failures are held against somebody until then."""
        return max(0, until - now - (self.failures - 1) * self.pause)


class LoginThrottle:
    """Turns log-ins away before the password is looked at, after too many have failed.

    It treats a name alike whether or not somebody has it. Log-ins that succeed cost nothing, so
    that a crowd with one account is not slowed down. What failed is in the database, where all
    replicas find it.
    """

    def __init__(
        self, settings: IdentitySettings, database: Database, clock: Clock = now_micros
    ) -> None:
        self._database, self._clock = database, clock
        self._of_name = _Patience(
            settings.failed_logins_per_user, round(settings.failed_login_pause_s * _MICROS)
        )
        self._of_address = _Patience(
            settings.failed_logins_per_address,
            round(settings.failed_login_address_pause_s * _MICROS),
        )

    async def admit(self, name: str, address: str | None) -> None:
        """Raises TooMuch when the log-in has to wait."""
        who = self._who(name, address)
        held = await self._database.read(lambda c: failed_logins.held_until(c, who))
        now = self._clock()
        wait = max((who[key].wait(until, now) for key, until in held.items()), default=0)
        if wait > 0:
            raise TooMuch("too many failed log-ins: try again later", wait / _MICROS)

    async def failed(self, name: str, address: str | None) -> None:
        """Counts a log-in that has failed.

        Those that were under way at the same time count too, so that trying many at once does not
        gain anything: the next one has to wait for longer.
        """
        pauses = {key: patience.pause for key, patience in self._who(name, address).items()}
        now = self._clock()
        await self._database.write(lambda c: failed_logins.add_failure(c, pauses, now))

    def _who(self, name: str, address: str | None) -> dict[str, _Patience]:
        who = {_key("name", name): self._of_name}
        if address is not None:
            who[_key("address", address)] = self._of_address
        return who


def _key(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}:{text}".encode()).hexdigest()
