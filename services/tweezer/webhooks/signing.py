"""Signs messages after the Standard Webhooks scheme, with a secret for each project."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

from standardwebhooks import Webhook

from tweezer.rpc.shared_keys import SharedKey

_PREFIX = "whsec_"


class Signer:
    """Makes the headers of a message."""

    def __init__(self, key: str, *earlier: str) -> None:
        self._key, self._earlier = key, earlier

    @classmethod
    def with_keys(cls, keys: SharedKey) -> "Signer":
        """Reads the key, and those that receivers may still know."""
        return cls(*keys.read())

    def secret(self, project_id: str) -> str:
        """Returns the secret with which the receivers of a project check the signature.

        It is derived from the key, so that there is nothing to store and that no project can sign
        in the name of another.
        """
        return _secret(self._key, project_id)

    def headers(
        self, project_id: str, message_id: str, body: str, now: datetime | None = None
    ) -> dict[str, str]:
        """Returns the headers that prove where a message comes from, and when it was sent."""
        at = now or datetime.now(UTC)
        secrets = [_secret(key, project_id) for key in (self._key, *self._earlier)]
        signatures = [Webhook(secret).sign(message_id, at, body) for secret in secrets]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),  # receivers look for one that fits
        }


def _secret(key: str, project_id: str) -> str:
    digest = hmac.new(key.encode(), f"webhook:{project_id}".encode(), hashlib.sha256)
    return _PREFIX + base64.b64encode(digest.digest()).decode()
