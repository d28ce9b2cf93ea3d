"""Frames between the engine and a worker."""

import asyncio
import io

import pytest

from tweezer.execution.engines.frames import (
    Kind,
    ProtocolError,
    encode_header,
    receive,
    receive_blocking,
)

FRAME = encode_header(Kind.RESULT, 3) + b"abc"


def reading(content: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    reader.feed_eof()
    return reader


async def test_frames_are_read_one_by_one() -> None:
    reader = reading(FRAME + encode_header(Kind.READY, 0))
    assert await receive(reader, 10) == (Kind.RESULT, b"abc")
    assert await receive(reader, 10) == (Kind.READY, b"")
    assert await receive(reader, 10) is None


@pytest.mark.parametrize("length", range(1, len(FRAME)))
async def test_a_frame_that_breaks_off_is_the_end(length: int) -> None:
    assert await receive(reading(FRAME[:length]), 10) is None
    assert receive_blocking(io.BytesIO(FRAME[:length]), 10) is None


async def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(ProtocolError, match="3 bytes, more than 2"):
        await receive(reading(FRAME), 2)


async def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ProtocolError, match="unknown kind 99"):
        await receive(reading(b"\x63\0\0\0\0"), 2)


def test_the_worker_reads_the_same_frames() -> None:
    stream = io.BytesIO(FRAME)
    assert receive_blocking(stream, 10) == (Kind.RESULT, b"abc")
    assert receive_blocking(stream, 10) is None
