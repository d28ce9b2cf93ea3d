"""Checks sequences and remembers the outcome by content."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import orjson

from tweezer.batch.checks.facts import ProgramFacts, Refused
from tweezer.batch.checks.workers import CheckWorkers
from tweezer.batch.settings import BatchSettings

T = TypeVar("T")


def content_hash(text: str) -> str:
    """Returns the name of a text: it is the same for the same text, wherever it comes from."""
    return hashlib.sha256(text.encode()).hexdigest()


class Programs:
    """Asks the checking processes, once for each content."""

    def __init__(self, workers: CheckWorkers, settings: BatchSettings) -> None:
        self._workers, self._settings = workers, settings
        self._facts: _Remembered[ProgramFacts] = _Remembered(settings.programs_remembered)
        self._configurations: _Remembered[bool] = _Remembered(settings.programs_remembered)
        self._durations: _Remembered[list[int | None]] = _Remembered(settings.programs_remembered)

    async def check_sequence(self, text: str, program_hash: str) -> ProgramFacts:
        """Returns what is to know of a sequence, or raises Refused."""
        _check_size(text, self._settings.max_sequence_bytes)
        return await self._facts.get(program_hash, lambda: self._inspect(text))

    async def check_configuration(self, text: str) -> None:
        """Raises Refused for what is no serialised emulation configuration."""
        _check_size(text, self._settings.max_configuration_bytes)
        await self._configurations.get(
            content_hash(text), lambda: self._inspect_configuration(text)
        )

    async def build(self, text: str, variables_json: str) -> str:
        """Returns the sequence with the values of its variables, or raises Refused."""
        built = await self._workers.ask("build", text=text, variables_json=variables_json)
        sequence: str = built["sequence"]
        return sequence

    async def durations(
        self, text: str, program_hash: str, values: Mapping[str, str]
    ) -> list[int | None]:
        """Returns how long a sequence lasts with the first of some sets of values, in ns.

        None stands for what is not known. The keys of `values` tell the sets apart as far as the
        duration is concerned.
        """
        key = f"{program_hash}:{content_hash(orjson.dumps(list(values)).decode())}"
        return await self._durations.get(key, lambda: self._measure(text, list(values.values())))

    async def _measure(self, text: str, variables_json: list[str]) -> list[int | None]:
        measured = await self._workers.ask("durations", text=text, variables_json=variables_json)
        durations: list[int | None] = measured["durations_ns"]
        return durations

    async def _inspect(self, text: str) -> ProgramFacts:
        content = await self._workers.ask(
            "sequence",
            text=text,
            max_variables=self._settings.max_variables,
            max_values=self._settings.max_variable_values,
        )
        return ProgramFacts.from_json(content)

    async def _inspect_configuration(self, text: str) -> bool:
        await self._workers.ask("configuration", text=text, max_shots=self._settings.max_runs)
        return True


def _check_size(text: str, limit: int) -> None:
    size = len(text.encode())
    if size > limit:
        raise Refused(f"is {size} bytes long, and the limit is {limit}")


class _Remembered(Generic[T]):
    """Outcomes by content, those used last; calls for the same one while it is made share it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._made: OrderedDict[str, T] = OrderedDict()
        self._in_the_making: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        task = self._in_the_making.get(key)
        if task is None:
            task = asyncio.ensure_future(self._make(key, make))
            self._in_the_making[key] = task
            task.add_done_callback(_retrieve)
        # One caller who goes away must not take the outcome from the others.
        return await asyncio.shield(task)

    async def _make(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        try:
            made = await make()
        finally:
            del self._in_the_making[key]
        self._made[key] = made
        if len(self._made) > self._size:
            self._made.popitem(last=False)
        return made


def _retrieve(task: "asyncio.Task[Any]") -> None:
    # Every caller gets the exception; when all have gone away, asyncio must not complain.
    if not task.cancelled():
        task.exception()
