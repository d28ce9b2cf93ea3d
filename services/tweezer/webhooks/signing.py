"""Signs messages after the Standard Webhooks scheme, with a secret for each project."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from pathlib import Path

from standardwebhooks import Webhook

from tweezer.rpc.service_key import ensure_service_key, read_service_key

_PREFIX = "whsec_"


class Signer:
    """Makes the headers of a message."""

    def __init__(self, key: str) -> None:
        self._key = key

    @classmethod
    def with_key_file(cls, path: Path) -> "Signer":
        """Reads the key, which is made when it is not there."""
        ensure_service_key(path)
        return cls(read_service_key(path))

    def secret(self, project_id: str) -> str:
        """Returns the secret with which the receivers of a project check the signature.

        It is derived from the key, so that there is nothing to store and that no project can sign
        in the name of another.
        """
        digest = hmac.new(self._key.encode(), f"webhook:{project_id}".encode(), hashlib.sha256)
        return _PREFIX + base64.b64encode(digest.digest()).decode()

    def headers(
        self, project_id: str, message_id: str, body: str, now: datetime | None = None
    ) -> dict[str, str]:
        """Returns the headers that prove where a message comes from, and when it was sent."""
        at = now or datetime.now(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.secret(project_id)).sign(message_id, at, body),
        }
