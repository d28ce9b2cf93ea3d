"""Plain fields of a new batch."""

import pytest

from tweezer.batch.checks.fields import check_tags, check_webhook, read_variables
from tweezer.rpc.errors import InvalidInput


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/results",
        "https://example.org",
        "https://example.org/a?b=c#d",
        "HTTPS://EXAMPLE.ORG",
        "http://[::1]:8080/x",
    ],
)
def test_urls_of_web_servers_are_webhooks(url):
    check_webhook(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://[::1",
        "http://example.org:port",
        "http://example.org:99999",
        "http://example.org/a b",
        "http://example.org/\n",
    ],
)
def test_others_are_not(url):
    with pytest.raises(InvalidInput) as refused:
        check_webhook(url, allow_private=True)
    assert str(refused.value) == "webhook: must be a URL that starts with http:// or https://"


def test_long_urls_are_refused():
    with pytest.raises(InvalidInput, match="at most 2048 characters"):
        check_webhook("http://example.org/" + "x" * 2048, allow_private=True)


def test_tags_lose_repetitions_and_keep_their_order():
    assert check_tags(["b", "a", "b", "c", "a"], 3, 10) == ["b", "a", "c"]


def test_null_is_no_variables():
    assert read_variables("jobs[0].variables", "null") == {}
    assert read_variables("jobs[0].variables", '{"x": [1]}') == {"x": [1]}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"x": ' + "1" * 5000 + "}"])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(InvalidInput) as refused:
        read_variables("jobs[7].variables", text)
    assert str(refused.value) == "jobs[7].variables: is not JSON"
