"""Where a running stack listens: a file in its data folder."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tweezer.cli import data_lock


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
    """Returns where the stack of the folder listens, or None when none runs."""
    if not data_lock.is_held(data_dir):
        return None  # a file that is there was left by a stack that was killed
    try:
        return Endpoints(**json.loads(_path(data_dir).read_text()))
    except FileNotFoundError:
        return None  # it is starting, or stopping


def _path(data_dir: Path) -> Path:
    return data_dir / "endpoints.json"
