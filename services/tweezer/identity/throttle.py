"""Makes guessing of passwords slow: failed log-ins are counted by name and by address."""

import time
from collections.abc import Callable

from tweezer.identity.settings import IdentitySettings
from tweezer.rpc.buckets import Buckets
from tweezer.rpc.errors import TooMuch


class LoginThrottle:
    """Turns log-ins away before the password is looked at, after too many have failed.

    It treats a name alike whether or not somebody has it. Log-ins that succeed cost nothing, so
    that a crowd with one account is not slowed down.
    """

    def __init__(
        self, settings: IdentitySettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = Buckets(
            1 / settings.failed_login_pause_s, settings.failed_logins_per_user, clock
        )
        self._addresses = Buckets(
            1 / settings.failed_login_address_pause_s, settings.failed_logins_per_address, clock
        )

    def admit(self, name: str, address: str | None) -> None:
        """Raises TooMuch when the log-in has to wait."""
        wait = self._names.wait(name)
        if address is not None:
            wait = max(wait, self._addresses.wait(address))
        if wait > 0:
            raise TooMuch("too many failed log-ins: try again later", wait)

    def failed(self, name: str, address: str | None) -> None:
        """Counts a log-in that has failed.

        Those that were under way at the same time count too, so that trying many at once does not
        gain anything: the next one has to wait for longer.
        """
        self._names.take(name)
        if address is not None:
            self._addresses.take(address)
