"""Settings of the built-in issuer."""

from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, IPvAnyNetwork, SecretStr
from sqlalchemy import URL

from tweezer.database.settings import DatabaseSettings
from tweezer.database.url import database_url
from tweezer.rpc.settings import RpcSettings
from tweezer.rpc.shared_keys import in_key_folder


class IdentitySettings(RpcSettings, DatabaseSettings):
    """Facts of the process that hosts AccountService."""

    identity_database_url: SecretStr | None = None
    """Database of users and projects, `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`; by
    default a file in the data folder. It must not be that of another service."""
    first_user: bool = False
    """Whether, where there are no users, one is made with a random password, and a project;
    `connection.json` in the data folder then says how to log in. `tweezer up` sets it."""
    signing_key: SecretStr | None = None
    """The private key (PEM, Ed25519) that tokens are signed with, in place of the file: where
    replicas are on several machines. `tweezer keys make` makes it."""
    signing_key_file: Path = Field(default_factory=in_key_folder("signing.pem"))
    """The file of that key. It is made in the data folder unless this names one, and read again
    whenever it changes."""
    token_lifetime_s: int = Field(default=3600, gt=60)
    """How long a token is valid, in seconds. Clients ask for a new one 60 s before its end, so it
    must be more. What is taken away from a user is gone for good only after this time."""
    login_workers: int = Field(default=2, ge=1)
    """Passwords that are checked at the same time; each takes about 50 ms of a core and 64 MiB."""
    max_waiting_logins: int = Field(default=64, ge=1)
    """Log-ins that may wait for a worker before more are turned away."""
    failed_logins_per_user: int = Field(default=10, ge=1)
    """Log-ins with one user name that may fail before the next one has to wait."""
    failed_login_pause_s: float = Field(default=30.0, gt=0)
    """Time after which one more log-in with that name may fail, in seconds."""
    failed_logins_per_address: int = Field(default=100, ge=1)
    """Log-ins from one address that may fail, whatever the names."""
    failed_login_address_pause_s: float = Field(default=3.0, gt=0)
    """Time after which one more log-in from that address may fail, in seconds."""
    trusted_gateways: list[IPvAnyNetwork] = Field(
        default_factory=lambda: [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    )
    """Addresses of gateways, which are believed whom a log-in comes from; a JSON list."""

    @property
    def identity_database_file(self) -> Path:
        """The file of users and projects, unless a setting names another database."""
        return self.data_dir / "identity.db"

    @property
    def identity_database(self) -> URL:
        """The database of users and projects."""
        return database_url(
            "TWEEZER_IDENTITY_DATABASE_URL", self.identity_database_url, self.identity_database_file
        )

    @property
    def signing_key_is_given(self) -> bool:
        """Whether a setting gives the key that signs; otherwise it is ours to make and replace."""
        return self.signing_key is not None or "signing_key_file" in self.model_fields_set

    @property
    def jwks_is_given(self) -> bool:
        """Whether a setting gives the public keys; otherwise they are ours to publish."""
        return self.jwks is not None or "jwks_file" in self.model_fields_set

    @property
    def connection_file(self) -> Path:
        """How the user of the first start logs in."""
        return self.data_dir / "connection.json"
