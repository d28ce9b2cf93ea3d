"""Hashes and checks passwords with Argon2id."""

import asyncio
import secrets
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.low_level import ARGON2_VERSION

from tweezer.rpc.errors import TooMuch

#: Longest password, in characters.
MAX_PASSWORD_LENGTH: Final = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a check."""

    matches: bool
    new_hash: str | None = None  #: to be stored, when the old one was made with weaker parameters


def hash_password(password: str) -> str:
    """Returns the hash to store; takes about 50 ms."""
    return PasswordHasher().hash(password)


class PasswordChecker:
    """Checks passwords in threads, some at a time.

    A check for a user who does not exist does the same work as any other, so that its time tells
    nothing.
    """

    def __init__(self, workers: int, max_waiting: int) -> None:
        self._hasher = PasswordHasher()
        self._nobody = _hash_of_nobody(self._hasher)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="password")
        self._capacity, self._under_way = workers + max_waiting, 0

    async def check(self, password_hash: str | None, password: str) -> Verdict:
        """Checks a password against a hash, or against that of nobody."""
        if self._under_way >= self._capacity:
            raise TooMuch("too many log-ins at the same time: try again in a moment")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._check, password_hash, password
            )
        finally:
            self._under_way -= 1

    def _check(self, password_hash: str | None, password: str) -> Verdict:
        try:
            self._hasher.verify(password_hash or self._nobody, password)
        except VerificationError:
            return Verdict(matches=False)
        if password_hash is None:
            return Verdict(matches=False)
        if self._hasher.check_needs_rehash(password_hash):
            return Verdict(matches=True, new_hash=self._hasher.hash(password))
        return Verdict(matches=True)

    def close(self) -> None:
        """Ends the threads, when they are done."""
        self._threads.shutdown()


def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """Returns a hash that takes the usual work to check and that no password has."""
    salt, digest = (
        b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${digest}"
