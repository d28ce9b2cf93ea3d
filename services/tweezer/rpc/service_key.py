"""The credential with which our own processes call each other's internal RPCs."""

import os
import secrets
from pathlib import Path
from typing import Final

#: Scheme of the authorization header; user tokens come as `Bearer`.
SCHEME: Final = "Service"


def ensure_service_key(path: Path) -> None:
    """Creates the key file, readable by its owner only, unless it exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))


def read_service_key(path: Path) -> str:
    """Returns the key."""
    key = path.read_text().strip()
    if len(key) < 32:
        raise ValueError(f"{path} holds no service key: delete it and start again")
    return key
