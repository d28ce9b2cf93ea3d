import asyncio
import socket
from pathlib import Path

import pytest

from tweezer.cli.notices import Notices


def say(address: str, what: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
        notice.connect(address)
        notice.send(what)


async def test_each_process_speaks_for_itself() -> None:
    async with Notices() as notices:
        addresses = {name: await notices.listen(name) for name in ("batch", "job")}
        batch, job = (asyncio.create_task(notices.ready(name)) for name in addresses)
        say(addresses["batch"], b"STATUS=so far\nREADY=1\n")
        await batch
        assert not job.done()
        say(addresses["job"], b"READY=1")
        await job


async def test_other_news_do_not_count() -> None:
    async with Notices() as notices:
        addresses = {name: await notices.listen(name) for name in ("batch", "job")}
        batch = asyncio.create_task(notices.ready("batch"))
        say(addresses["batch"], b"STATUS=READY=1")
        say(addresses["job"], b"READY=1")
        await notices.ready("job")
        await asyncio.sleep(0)  # both had been said before the loop looked at either
        assert not batch.done()
        say(addresses["batch"], b"READY=1")
        await batch


async def test_nothing_is_left_behind() -> None:
    async with Notices() as notices:
        address = await notices.listen("batch")
        folder = Path(address).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    with pytest.raises(FileNotFoundError):
        say(address, b"READY=1")
