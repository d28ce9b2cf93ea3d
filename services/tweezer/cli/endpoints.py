"""Where a running stack listens: a file in its data folder."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tweezer.cli import data_lock

_RETRY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of a running stack."""

    url: str
    """Base of the REST API."""
    batch: str
    """gRPC address of BatchService, DeviceService and AccountService."""
    job: str
    """gRPC address of JobService."""
    ca_file: str | None = None
    """Authority that signs what the stack shows to clients; absent without TLS."""


def write(data_dir: Path, endpoints: Endpoints) -> None:
    """Says where the stack listens; readers see the old file or the new one, never a part."""
    partial = _path(data_dir).with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(endpoints), indent=2) + "\n")
    partial.replace(_path(data_dir))


def remove(data_dir: Path) -> None:
    """Says that nothing listens any more."""
    _path(data_dir).unlink(missing_ok=True)


def read(data_dir: Path) -> Endpoints | None:
    """Returns where the stack of the folder listens, or None when none runs.

    Waits for a stack that starts until it serves, and for one that stops until it is gone.
    """
    # Nothing tells of a lock that is given up, nor of a new file on every system: one has to look.
    while data_lock.is_held(data_dir):
        try:
            return Endpoints(**json.loads(_path(data_dir).read_text()))
        except FileNotFoundError:
            time.sleep(_RETRY)
    return None  # a file that is there was left by a stack that was killed


def _path(data_dir: Path) -> Path:
    return data_dir / "endpoints.json"
