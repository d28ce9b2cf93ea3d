"""Settings of webhooks."""

from pathlib import Path

from pydantic import Field, SecretStr

from tweezer.rpc.settings import RpcSettings
from tweezer.rpc.shared_keys import SharedKey, in_key_folder


class WebhookSettings(RpcSettings):
    """What an operator can set of webhooks; the batch and the job service share it."""

    webhook_allow_private: bool = False
    """Whether webhooks may go to private, loopback and other addresses that are not public. Users
    choose the targets: with this they can reach what this machine can reach."""
    webhook_timeout_s: float = Field(default=10.0, gt=0)
    """How long one delivery may take, from the look-up of the name to the answer, in seconds."""
    webhook_give_up_s: float = Field(default=86_400.0, gt=0)
    """How long a delivery is tried again before it counts as failed, in seconds."""
    webhook_first_retry_s: float = Field(default=5.0, gt=0)
    """Wait before the first retry, in seconds; the next ones wait four times as long each, an
    hour at most."""
    webhook_concurrency: int = Field(default=16, ge=2)
    """Deliveries under way at once in each service."""
    webhook_per_target: int = Field(default=4, ge=1)
    """Deliveries under way at once to one server."""
    webhook_keep_days: float = Field(default=7.0, gt=0)
    """How long delivered and failed messages are kept for `tweezer webhooks`, in days."""
    webhook_key: SecretStr | None = None
    """The key that the signing secrets of the projects are made from, in place of the file; random,
    32 characters or more. With others after it, messages are signed with each."""
    webhook_key_file: Path = Field(default_factory=in_key_folder("webhooks.key"))
    """The file of that key. It is made in the data folder unless this names one."""

    @property
    def webhook_keys(self) -> SharedKey:
        """The key that the signing secrets of the projects are made from."""
        return SharedKey(
            "TWEEZER_WEBHOOK_KEY",
            self.webhook_key,
            self.webhook_key_file,
            "webhook_key_file" in self.model_fields_set,
        )
