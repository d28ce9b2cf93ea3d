"""Writes files so that readers see all of them or nothing."""

import os
import secrets
from pathlib import Path
from typing import Final

#: Readable and writable by the owner only.
PRIVATE: Final = 0o600
#: Readable by everybody.
PUBLIC: Final = 0o644


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Writes a file, in place of the one that may be there."""
    temporary = _write_beside(path, content, mode)
    temporary.replace(path)


def create_file(path: Path, content: bytes, mode: int) -> bool:
    """Writes a file unless there is one; says whether it did."""
    temporary = _write_beside(path, content, mode)
    try:
        os.link(temporary, path)  # unlike a renaming, this never replaces
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _write_beside(path: Path, content: bytes, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
