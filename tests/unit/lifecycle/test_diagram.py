from pathlib import Path

from tweezer.lifecycle import BatchStatus
from tweezer.lifecycle.diagram import SHOWN_BATCH_STATUSES, page

PAGE = Path(__file__).parents[3] / "docs" / "lifecycle.md"


def test_the_page_is_printed_from_the_tables() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_the_page_shows_every_batch_status() -> None:
    assert set(BatchStatus) == SHOWN_BATCH_STATUSES
