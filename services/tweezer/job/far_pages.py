"""Reads pages that are far from the first one without passing over everything before them."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection

from tweezer.database.timestamps import Clock
from tweezer.job.landmarks import LandmarkMemory, Landmarks, Moment
from tweezer.job.paging import Page
from tweezer.job.store import history
from tweezer.job.store.landmarks import PlacedQueries, keys_further, newer_rows, part_of

#: Rows between two landmarks.
_STEP: Final = 5000
#: Rows before a page from which on it is far.
_FAR: Final = 10_000
#: With more rows after the last landmark, a page is read without landmarks.
_MOST_NEWER: Final = 20_000
#: Lists whose landmarks are remembered.
_MOST_LISTS: Final = 16

#: Rows, and how many there are in all.
Part: TypeAlias = tuple[Sequence[Sequence[Any]], int]


class FarPages:
    """Finds pages of long lists from landmarks in them.

    It does so for lists of one project by age whose jobs stay in them for as long as they are
    stored, where a job has as many older ones as ever, unless the project's history is rewritten.
    The first page of a list is found no sooner than by passing over what comes before it.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seconds: Callable[[], float] = time.monotonic,
        step: int = _STEP,
        far: int = _FAR,
        most_newer: int = _MOST_NEWER,
        most_lists: int = _MOST_LISTS,
    ) -> None:
        self._clock, self._seconds = clock, seconds
        self._step, self._far, self._most_newer = step, far, most_newer
        self._memory = LandmarkMemory(most_lists)

    def are_for(self, page: Page) -> bool:
        """Says whether a page is far enough, and of a list by age."""
        return page.skip >= self._far and page.is_by_age

    def read(
        self, connection: Connection, key: Hashable, queries: PlacedQueries, page: Page
    ) -> Part | None:
        """Returns a page, and the number of all jobs; none when it is to be read otherwise.

        `key` stands for the list. The rows are those of one moment.
        """
        # Before anything else: landmarks that are older than the number are known to be.
        rewrites = history.rewrites(connection, queries.project_id)
        landmarks = self._remembered(key, rewrites)
        if landmarks is None:
            return None
        newer = newer_rows(connection, queries, landmarks.newest, self._most_newer)
        if newer >= self._step:
            landmarks = self._extended(connection, queries, landmarks)
            self._memory.keep(key, landmarks)
            newer = newer_rows(connection, queries, landmarks.newest, self._most_newer)
        if newer >= self._most_newer:
            return None
        part = _part(connection, queries, landmarks, landmarks.rows + newer, page)
        # What was deleted between these statements makes them contradict each other.
        return part if history.rewrites(connection, queries.project_id) == rewrites else None

    def _now(self) -> Moment:
        return Moment(self._clock(), self._seconds())

    def _remembered(self, key: Hashable, rewrites: int) -> Landmarks | None:
        """Returns landmarks that hold, if only none; nothing when it is too early for new ones."""
        known, now = self._memory.of(key), self._now()
        if known is not None and known.hold(rewrites, now):
            return known
        if known is not None and known.are_too_young(now):
            return None
        return Landmarks(self._step, rewrites, begun=now)

    def _extended(
        self, connection: Connection, queries: PlacedQueries, landmarks: Landmarks
    ) -> Landmarks:
        """Adds the landmarks that are still missing."""
        began = self._now()
        until = history.settled(began.clock)
        found = keys_further(connection, queries, landmarks.newest, self._step, until)
        keys = (*landmarks.keys, *found)
        spent = landmarks.spent_s + self._seconds() - began.seconds
        return replace(landmarks, keys=keys, spent_s=spent)


def _part(
    connection: Connection, queries: PlacedQueries, landmarks: Landmarks, total: int, page: Page
) -> Part:
    if page.skip >= total:
        return [], total
    if page.descending:
        key, passed_over = landmarks.after(total - 1 - page.skip, total)
    else:
        key, passed_over = landmarks.before(page.skip)
    rows = part_of(connection, queries, key, passed_over, page.size, descending=page.descending)
    # Jobs may have been added since the others were counted.
    return rows, max(total, page.skip + len(rows))
