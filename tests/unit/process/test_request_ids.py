"""The identifier of a request, and what goes along with the calls made for it."""

import json
import subprocess
import sys

from tweezer.process import propagation, request_ids

PROGRAM = """
import logging, structlog
from tweezer.process import request_ids
from tweezer.process.logs import configure_logging
from tweezer.process.settings import ProcessSettings

configure_logging("test", ProcessSettings(log_format="json"))
log = structlog.get_logger()
with request_ids.bound("one"):
    log.info("ours")
    logging.warning("a library's")
log.info("of no request")
"""


def test_a_harmless_identifier_is_kept():
    assert request_ids.accept("abc.1_X-2") == "abc.1_X-2"


def test_a_missing_or_harmful_one_is_replaced_by_a_new_one():
    made = {request_ids.accept(given) for given in (None, "", "a b", "a\nb", "ä", "x" * 129)}
    assert len(made) == 6
    assert all(request_ids.accept(each) == each for each in made)


def test_every_log_message_carries_it():
    written = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    ).stderr
    lines = [json.loads(line) for line in written.splitlines()]
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("ours", "one"),
        ("a library's", "one"),
        ("of no request", None),
    ]


def test_it_holds_for_calls_while_it_is_bound():
    with request_ids.bound("one"):
        assert propagation.metadata() == (("x-request-id", "one"),)
        with request_ids.bound("two"):
            assert request_ids.current() == "two"
        assert request_ids.current() == "one"
    assert propagation.metadata() == ()
    assert request_ids.current() is None
