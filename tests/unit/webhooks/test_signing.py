"""Signatures, checked by the library that receivers use."""

from pathlib import Path

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tweezer.webhooks.settings import WebhookSettings
from tweezer.webhooks.signing import Signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.with_keys(WebhookSettings(data_dir=tmp_path).webhook_keys)


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
    keys = WebhookSettings(data_dir=tmp_path).webhook_keys
    assert Signer.with_keys(keys).secret("a") == Signer.with_keys(keys).secret("a")
    assert keys.file.stat().st_mode & 0o077 == 0


def test_while_a_key_is_replaced_receivers_with_either_secret_can_check() -> None:
    old, new = Signer("o" * 32), Signer("n" * 32, "o" * 32)
    headers = new.headers("project-a", "msg_1", "{}")
    assert new.secret("project-a") != old.secret("project-a")
    for signer in (old, new):
        assert Webhook(signer.secret("project-a")).verify("{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(Signer("x" * 32).secret("project-a")).verify("{}", headers)
