"""Forgets finished batches: first the rows, then the results.

A crash between the two leaves results without a row, which the sweep of the result store removes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from tweezer.database.database import Database
from tweezer.job.results import ResultStore, batch_prefix
from tweezer.job.signals import to_the_end
from tweezer.job.store import forgetting
from tweezer.rpc.errors import Unavailable

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ForgottenBatches:
    """What became of the batches that were to be forgotten."""

    ids: list[str] = field(default_factory=list)  #: of which nothing is kept
    jobs: int = 0
    results: int = 0


class Forgetting:
    """Deletes batches whose jobs are all final."""

    def __init__(self, database: Database, results: ResultStore) -> None:
        self._database, self._results = database, results

    async def forget(self, batch_ids: Iterable[str]) -> ForgottenBatches:
        """Deletes those of some batches that are finished; they may be sent again."""
        forgotten = ForgottenBatches()
        for batch_id in dict.fromkeys(batch_ids):
            await to_the_end(self._forget(batch_id, forgotten))
        if forgotten.jobs:
            log.info(
                "finished batches forgotten",
                batches=len(forgotten.ids),
                jobs=forgotten.jobs,
                results=forgotten.results,
            )
        return forgotten

    async def _forget(self, batch_id: str, forgotten: ForgottenBatches) -> None:
        one = await self._database.write(lambda c: forgetting.forget(c, batch_id))
        if not one.gone:
            return
        forgotten.ids.append(batch_id)
        forgotten.jobs += one.jobs
        if one.project_id is None:
            return
        try:
            prefix = batch_prefix(one.project_id, batch_id)
            forgotten.results += await self._results.remove_all(prefix)
        except Unavailable as error:
            log.warning("results stay for the sweep", batch=batch_id, reason=str(error))
