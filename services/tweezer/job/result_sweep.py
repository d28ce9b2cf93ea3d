"""Compares the result store with the rows: what is stored for nobody, what is stored no more."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.metrics import JobMetrics
from tweezer.job.results import ResultStore, StoredObject, lease_mark
from tweezer.job.store import result_rows
from tweezer.job.store.result_rows import Owner, StoredResult

log = structlog.get_logger(__name__)

#: Keys as `result_key` makes them; anything else in the store is somebody else's.
_KEY: Final = re.compile(r"[^/]+/[^/]+/(?P<job>[0-9a-f-]{36})\.(?P<mark>[0-9a-f]{16})\.json")

#: Names of jobs that a line of the log tells.
_TOLD: Final = 10


class ResultSweep:
    """Goes through the store and the rows in small steps, now and then.

    Results without a row are what a crash left between two steps: they are removed once they are
    older than the grace, long after any call that could still record them. Rows without a result
    mean that somebody removed it or that a disk was lost. Only a person can help there, and the
    store may be back tomorrow, so this is told and nothing is changed.
    """

    def __init__(
        self,
        database: Database,
        results: ResultStore,
        clock: Clock,
        metrics: JobMetrics,
        *,
        delay_s: float,
        interval_s: float,
        grace_s: float,
    ) -> None:
        self._database, self._results, self._clock = database, results, clock
        self._metrics = metrics
        self._delay_s, self._interval_s = delay_s, interval_s
        self._grace = round(grace_s * 1_000_000)

    async def run(self) -> None:
        """Sweeps for ever: some time after the start, when workers have been served, and again."""
        await asyncio.sleep(self._delay_s)
        while True:
            await self.sweep()
            await asyncio.sleep(self._interval_s)

    async def sweep(self) -> None:
        """Goes through everything once."""
        before = self._clock() - self._grace
        orphans = await self._remove_orphans(before)
        if drafts := await self._results.remove_unfinished(before):
            self._metrics.recovered("unfinished result removed", drafts)
            log.warning("what was left of unfinished results removed", number=drafts)
        missing = await self._tell_missing(before)
        log.info("results compared with the jobs", orphans=orphans, missing=missing)

    async def _remove_orphans(self, before: int) -> int:
        removed = 0
        async for part in self._results.objects():
            orphans = await self._orphans(part, before)
            if orphans:
                await self._results.remove(orphans)
                self._metrics.recovered("orphan result removed", len(orphans))
                log.warning("results of nobody removed", number=len(orphans), first=orphans[0])
                removed += len(orphans)
        return removed

    async def _orphans(self, part: Sequence[StoredObject], before: int) -> list[str]:
        old = {each.key: found["job"] for each in part if (found := _aged_key(each, before))}
        if not old:
            return []
        owners = await self._owners(set(old.values()))
        await self._record_sizes(part, old, owners)
        return [key for key, job_id in old.items() if not _owned(key, owners.get(job_id))]

    async def _record_sizes(
        self, part: Sequence[StoredObject], jobs: Mapping[str, str], owners: Mapping[str, Owner]
    ) -> None:
        """Makes up for results that were stored before sizes were."""
        sizes = {
            job_id: each.size
            for each in part
            if (job_id := jobs.get(each.key)) is not None
            and (owner := owners.get(job_id)) is not None
            and owner.key == each.key
            and not owner.knows_size
        }
        if sizes:
            await self._database.write(lambda c: result_rows.record_sizes(c, sizes))

    async def _owners(self, job_ids: Collection[str]) -> dict[str, Owner]:
        return await self._database.scan(lambda c: result_rows.owners(c, job_ids))

    async def _tell_missing(self, before: int) -> int:
        told = 0
        last: StoredResult | None = None
        while page := await self._page(before, last):
            last = page[-1]
            gone = await self._gone(page)
            if gone:
                self._metrics.recovered("missing result told", len(gone))
                log.error("results are not stored any more", number=len(gone), jobs=gone[:_TOLD])
                told += len(gone)
        return told

    async def _page(self, before: int, last: StoredResult | None) -> Sequence[StoredResult]:
        return await self._database.scan(lambda c: result_rows.stored(c, before, last))

    async def _gone(self, page: Sequence[StoredResult]) -> list[str]:
        """Returns the jobs whose result is not there, and is not meant to be removed either."""
        missing = set(await self._results.missing(each.key for each in page))
        suspects = {each.job_id: each.key for each in page if each.key in missing}
        if not suspects:
            return []
        now = await self._owners(suspects.keys())
        return [job_id for job_id, key in suspects.items() if _keeps(now.get(job_id), key)]


def _aged_key(each: StoredObject, before: int) -> re.Match[str] | None:
    return _KEY.fullmatch(each.key) if each.changed_at < before else None


def _keeps(owner: Owner | None, key: str) -> bool:
    return owner is not None and owner.key == key


def _owned(key: str, owner: Owner | None) -> bool:
    if owner is None:
        return False
    # A worker that holds the lease may have put it and be about to call again.
    held = owner.lease_token is not None and key.endswith(f".{lease_mark(owner.lease_token)}.json")
    return held or owner.key == key
