"""How the engine and a worker talk: frames over a stream socket.

A frame is a kind (1 byte), the length of the payload (4 bytes, big-endian) and the payload. The
standard library's `Connection` has the same shape, but can only be read by blocking until a whole
message is there: a worker that stops in the middle of a large result would stop the event loop,
and with it the renewal of all other leases.
"""

import asyncio
import struct
from enum import IntEnum, auto
from typing import BinaryIO, Final

_HEADER: Final = struct.Struct("!BI")


class Kind(IntEnum):
    """What a frame says."""

    READY = auto()  #: worker: it has imported the emulators and takes tasks
    TASK = auto()  #: engine: a pickled Task
    PROGRESS = auto()  #: worker: percentage, one byte; 0 when it begins with a task
    RESULT = auto()  #: worker: the result file of the task
    REFUSED = auto()  #: worker: the task failed, see `Refusal`


class ProtocolError(Exception):
    """The other end sent something that is no frame."""


def encode_header(kind: Kind, length: int) -> bytes:
    """Returns the bytes that stand before a payload of this length."""
    return _HEADER.pack(kind, length)


def _decode_header(header: bytes, max_length: int) -> tuple[Kind, int]:
    number, length = _HEADER.unpack(header)
    try:
        kind = Kind(number)
    except ValueError:
        raise ProtocolError(f"a frame has the unknown kind {number}") from None
    if length > max_length:
        raise ProtocolError(f"a frame has {length} bytes, more than {max_length}")
    return kind, length


async def receive(reader: asyncio.StreamReader, max_length: int) -> tuple[Kind, bytes] | None:
    """Returns the next frame, or None when the other end is gone; the engine's side."""
    try:
        kind, length = _decode_header(await reader.readexactly(_HEADER.size), max_length)
        return kind, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def receive_blocking(stream: BinaryIO, max_length: int) -> tuple[Kind, bytes] | None:
    """Returns the next frame, or None when the other end is gone; the worker's side."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    kind, length = _decode_header(header, max_length)
    payload = stream.read(length)
    return None if len(payload) < length else (kind, payload)
