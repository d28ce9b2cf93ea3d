"""Issues bearer tokens."""

from collections.abc import Sequence

import jwt

from tweezer.database.timestamps import Clock, now_micros
from tweezer.identity.keys import SigningKey
from tweezer.identity.settings import IdentitySettings
from tweezer.rpc.identity import OPERATOR_CLAIM, PROJECTS_CLAIM


class TokenIssuer:
    """Signs tokens that say who the bearer is and which projects are the bearer's."""

    def __init__(
        self, key: SigningKey, settings: IdentitySettings, clock: Clock = now_micros
    ) -> None:
        self._key, self._settings, self._clock = key, settings, clock

    @property
    def lifetime_s(self) -> int:
        """How long a token is valid, in seconds."""
        return self._settings.token_lifetime_s

    def issue(
        self, user_id: str, username: str, project_ids: Sequence[str], *, operator: bool = False
    ) -> str:
        """Returns a signed token."""
        now = self._clock() // 1_000_000
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
        return jwt.encode(
            claims, self._key.private_key, algorithm="EdDSA", headers={"kid": self._key.key_id}
        )
