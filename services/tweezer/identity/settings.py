"""Settings of the built-in issuer."""

from pathlib import Path

from pydantic import Field

from tweezer.rpc.settings import RpcSettings


class IdentitySettings(RpcSettings):
    """Facts of the process that hosts AccountService."""

    token_lifetime_s: int = Field(default=3600, gt=60)
    """How long a token is valid, in seconds. Clients ask for a new one 60 s before its end, so it
    must be more."""
    login_workers: int = Field(default=2, ge=1)
    """Passwords that are checked at the same time; each takes about 50 ms of a core and 64 MiB."""
    max_waiting_logins: int = Field(default=64, ge=1)
    """Log-ins that may wait for a worker before more are turned away."""

    @property
    def identity_database_file(self) -> Path:
        """The file of users and projects."""
        return self.data_dir / "identity.db"

    @property
    def signing_key_file(self) -> Path:
        """The private key that tokens are signed with."""
        return self.data_dir / "keys" / "signing.pem"

    @property
    def connection_file(self) -> Path:
        """How the user of the first start logs in."""
        return self.data_dir / "connection.json"
