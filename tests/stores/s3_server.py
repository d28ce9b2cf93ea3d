"""A server of S3 on loopback, in a process of its own: that of moto, a library for tests."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
import obstore
from obstore.store import S3Store

#: moto takes any credentials, and does not check signatures.
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "an-access-key-id",
    "AWS_SECRET_ACCESS_KEY": "a-secret-access-key-that-nobody-may-see",
}

#: Where in a bucket the results are.
_PLACE: Final = "some/place"

_LISTENING: Final = re.compile(rb"Running on http://127\.0\.0\.1:(\d+)")


class S3Server:
    """One that began to listen; its variables are moto's settings."""

    def __init__(self, log: Path, **environment: str) -> None:
        self._log = log
        self._process = self._start(environment)
        self.endpoint = f"http://127.0.0.1:{self._port()}"

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    def _port(self) -> int:
        """Returns the port, once the server listens."""
        with self._log.open("rb") as log:
            said = b""
            while self._process.poll() is None:
                said += log.read()
                if found := _LISTENING.search(said):
                    return int(found[1])
        raise AssertionError(f"moto does not start: {self._log.read_text()}")

    def bucket(self) -> "Bucket":
        """Makes a bucket."""
        name = f"b-{uuid.uuid4().hex}"
        httpx.put(f"{self.endpoint}/{name}", trust_env=False).raise_for_status()
        return Bucket(self.endpoint, name)

    def stand_still(self) -> None:
        """Lets connections come and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answers again."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends the server."""
        self.go_on()
        self._process.terminate()
        self._process.wait(30)


class Bucket:
    """A bucket with results under a prefix, seen past our own code."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name, self._endpoint, self._gone = name, endpoint, False
        self.url = f"s3://{name}/{_PLACE}?endpoint={endpoint}"
        self._store = S3Store(
            name,
            endpoint=endpoint,
            access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True},
        )

    def results(self) -> list[str]:
        """Returns the keys of the results."""
        keys = self._keys()
        assert all(key.startswith(f"{_PLACE}/") for key in keys)
        return [key.removeprefix(f"{_PLACE}/") for key in keys if key.endswith(".json")]

    def remove(self, key: str) -> None:
        """Removes a result."""
        obstore.delete(self._store, f"{_PLACE}/{key}")

    def has(self, key: str) -> bool:
        """Says whether an object is there."""
        return f"{_PLACE}/{key}" in self._keys()

    def vanish(self) -> None:
        """Removes the bucket itself."""
        self.remove_all()
        httpx.delete(f"{self._endpoint}/{self.name}", trust_env=False).raise_for_status()
        self._gone = True

    def remove_all(self) -> None:
        """Removes what is in the bucket."""
        if not self._gone:
            obstore.delete(self._store, self._keys())

    def _keys(self) -> list[str]:
        return [each["path"] for part in obstore.list(self._store) for each in part]
