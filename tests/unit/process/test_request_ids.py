"""The identifier of a request, and what goes along with the calls made for it."""

import structlog.contextvars

from tweezer.process import propagation, request_ids


def test_a_harmless_identifier_is_kept():
    assert request_ids.accept("abc.1_X-2") == "abc.1_X-2"


def test_a_missing_or_harmful_one_is_replaced_by_a_new_one():
    made = {request_ids.accept(given) for given in (None, "", "a b", "a\nb", "ä", "x" * 129)}
    assert len(made) == 6
    assert all(request_ids.accept(each) == each for each in made)


def test_it_holds_for_log_messages_and_calls_while_it_is_bound():
    with request_ids.bound("one"):
        assert propagation.metadata() == (("x-request-id", "one"),)
        assert structlog.contextvars.get_contextvars()["request_id"] == "one"
        with request_ids.bound("two"):
            assert request_ids.current() == "two"
        assert request_ids.current() == "one"
    assert propagation.metadata() == ()
    assert "request_id" not in structlog.contextvars.get_contextvars()
