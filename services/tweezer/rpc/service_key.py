"""The credential with which our own processes call each other's internal RPCs."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Scheme of the authorization header; user tokens come as `Bearer`.
SCHEME: Final = "Service"


def ensure_service_key(path: Path) -> None:
    """Creates the key file, readable by its owner only, unless it exists.

    Whole or not at all: processes that start at the same moment read the same key.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        with suppress(FileExistsError):  # another process was faster, and its key counts
            os.link(draft, path)
    finally:
        os.unlink(draft)


def read_service_key(path: Path) -> str:
    """Returns the key."""
    key = path.read_text().strip()
    if len(key) < 32:
        raise ValueError(f"{path} holds no service key: delete it and start again")
    return key
