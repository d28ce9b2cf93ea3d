"""Signatures, checked by the library that receivers use."""

from pathlib import Path

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tweezer.webhooks.signing import Signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.with_key_file(tmp_path / "keys" / "webhooks.key")


def test_the_receiver_of_the_project_can_check_the_signature(signer: Signer) -> None:
    headers = signer.headers("project-a", "msg_1", '{"type": "job.done"}')
    receiver = Webhook(signer.secret("project-a"))
    assert receiver.verify('{"type": "job.done"}', headers) == {"type": "job.done"}
    with pytest.raises(WebhookVerificationError):
        receiver.verify('{"type": "job.error"}', headers)


def test_no_project_can_sign_for_another(signer: Signer) -> None:
    headers = signer.headers("project-a", "msg_1", "{}")
    with pytest.raises(WebhookVerificationError):
        Webhook(signer.secret("project-b")).verify("{}", headers)


def test_the_secrets_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.key"
    assert Signer.with_key_file(path).secret("a") == Signer.with_key_file(path).secret("a")
    assert path.stat().st_mode & 0o077 == 0
