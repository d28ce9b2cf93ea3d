"""Issues bearer tokens."""

from collections.abc import Sequence
from typing import Final

import jwt
import structlog

from tweezer.database.timestamps import Clock, now_micros
from tweezer.identity.keys import SigningKey, read_signing_key, rotate_signing_key
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.signing_key import given_signing_key
from tweezer.process.run import StartFailed
from tweezer.rpc.errors import NotAllowedNow
from tweezer.rpc.identity import OPERATOR_CLAIM, PROJECTS_CLAIM

log = structlog.get_logger(__name__)

#: How far the clocks of our machines may be apart, in seconds.
CLOCKS_APART_S: Final = 60


class TokenIssuer:
    """Signs tokens that say who the bearer is and which projects are the bearer's."""

    def __init__(
        self, key: SigningKey, settings: IdentitySettings, clock: Clock = now_micros
    ) -> None:
        self._key, self._settings, self._clock = key, settings, clock
        self._file_state = self._look()

    @property
    def lifetime_s(self) -> int:
        """How long a token is valid, in seconds."""
        return self._settings.token_lifetime_s

    def issue(
        self, user_id: str, username: str, project_ids: Sequence[str], *, operator: bool = False
    ) -> str:
        """Returns a signed token."""
        key, now = self._current_key(), self._clock() // 1_000_000
        claims = {
            "iss": self._settings.token_issuer,
            "aud": self._settings.token_audience,
            "sub": user_id,
            "iat": now,
            "exp": now + self.lifetime_s,
            "email": username,
            PROJECTS_CLAIM: list(project_ids),
        }
        if operator:
            claims[OPERATOR_CLAIM] = True
        return jwt.encode(claims, key.private_key, algorithm="EdDSA", headers={"kid": key.key_id})

    def rotate(self, *, revoke_tokens: bool = False) -> str:
        """Signs with a new key from now on and returns its name.

        The tokens that are out stay valid, unless they are to be revoked. A key that a setting
        gives is for those to replace who have given it.
        """
        if self._settings.signing_key_is_given:
            raise NotAllowedNow(
                "the key that signs is given by a setting: replace it where it comes from, after "
                "its public half is among the public keys of all services"
            )
        key = rotate_signing_key(
            self._settings.signing_key_file,
            self._settings.jwks_file,
            self._clock() // 1_000_000,
            0 if revoke_tokens else self.lifetime_s + CLOCKS_APART_S,
        )
        return key.key_id

    def _current_key(self) -> SigningKey:
        # Another process, or `rotate`, may have replaced the file.
        state = self._look()
        if state is not None and state != self._file_state:
            self._file_state = state
            self._key = self._read()
        return self._key

    def _read(self) -> SigningKey:
        if not self._settings.signing_key_is_given:
            return read_signing_key(self._settings.signing_key_file)
        try:
            key = given_signing_key(self._settings)
        except StartFailed as error:
            log.error("the new key that signs is not used", cause=str(error))
            return self._key
        log.info("tokens are signed with another key", key_id=key.key_id)
        return key

    def _look(self) -> tuple[int, int] | None:
        if self._settings.signing_key is not None:
            return None  # given by a variable, which does not change
        try:
            found = self._settings.signing_key_file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
