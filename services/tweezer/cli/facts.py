"""What a client needs to know to connect."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tweezer.cli.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class Account:
    """Who the first user is; written by the first start."""

    username: str
    password: str
    project_id: str


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """Everything that the `pasqal-cloud` client, or another one, is configured with."""

    core: str
    """Base of the core API."""
    account: str
    """Base of the account API."""
    token_endpoint: str
    """Where a password is exchanged for a token."""
    username: str
    password: str
    project_id: str
    grpc: dict[str, str]
    """gRPC address per service: `batch` and `job`."""
    ca_file: str | None = None
    """Authority that signs the certificates of both APIs; absent without TLS."""

    @property
    def authority(self) -> Path | None:
        """The file of the authority."""
        return None if self.ca_file is None else Path(self.ca_file)

    def as_json(self) -> str:
        """Returns the facts as a JSON object."""
        facts = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(facts, indent=2)


def connection_facts(account: Account, endpoints: Endpoints) -> ConnectionFacts:
    """Puts together who connects and where to."""
    return ConnectionFacts(
        core=f"{endpoints.url}/core-fast",
        account=f"{endpoints.url}/account",
        token_endpoint=f"{endpoints.url}/oauth/token",
        username=account.username,
        password=account.password,
        project_id=account.project_id,
        grpc={"batch": endpoints.batch, "job": endpoints.job},
        ca_file=endpoints.ca_file,
    )


def read_account(data_dir: Path) -> Account | None:
    """Returns the first user of the data folder, or None before the first start."""
    try:
        facts = json.loads((data_dir / "connection.json").read_text())
    except FileNotFoundError:
        return None
    return Account(facts["username"], facts["password"], facts["project_id"])
