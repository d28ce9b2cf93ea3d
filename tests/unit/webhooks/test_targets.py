"""Where messages may go."""

import ipaddress

import pytest

from tweezer.webhooks.targets import TargetRefused, check_url, is_public, target_of


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "https://example.org:8443/a/b?c=d",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
    ],
)
def test_public_web_servers_are_allowed(url: str) -> None:
    check_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/", "starts with http"),
        ("example.org", "starts with http"),
        ("http://", "starts with http"),
        ("http://example.org:0/", "starts with http"),
        ("http://example.org:99999/", "starts with http"),
        ("http://[::1/", "starts with http"),
        ("http://example.org/a b", "starts with http"),
        ("http://example.org/a\u0000b", "starts with http"),
        ("http://user:secret@example.org/", "user name"),
        ("http://example.org/" + "a" * 2048, "2048 characters"),
        ("http://\uff11\uff12\uff17.0.0.1/", "in ASCII"),
        ("http://exämple.org/", "in ASCII"),
        ("http://example.org/ä", "in ASCII"),
        (f"http://{'a' * 64}.org/", "1 to 63 characters"),
        ("http://example..org/", "1 to 63 characters"),
        ("http://.org/", "1 to 63 characters"),
        (f"http://{'a.' * 130}org/", "1 to 63 characters"),
    ],
)
@pytest.mark.parametrize("allow_private", [True, False])
def test_what_is_no_web_server_is_refused(url: str, reason: str, allow_private: bool) -> None:
    with pytest.raises(TargetRefused, match=reason):
        check_url(url, allow_private=allow_private)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "LOCALHOST",
        "printer.localhost",
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
def test_addresses_that_are_not_public_need_the_setting(host: str) -> None:
    check_url(f"http://{host}/", allow_private=True)
    with pytest.raises(TargetRefused):
        check_url(f"http://{host}/", allow_private=False)


def test_an_address_inside_another_counts() -> None:
    assert is_public(ipaddress.ip_address("::ffff:8.8.8.8"))
    assert not is_public(ipaddress.ip_address("::ffff:192.168.1.1"))
    assert is_public(ipaddress.ip_address("64:ff9b::808:808"))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://Example.org/a", "http://example.org:80"),
        ("https://example.org/b?c", "https://example.org:443"),
        ("https://example.org:8443/", "https://example.org:8443"),
        ("http://[2001:db8::1]:81/", "http://[2001:db8::1]:81"),
    ],
)
def test_a_target_is_a_server(url: str, target: str) -> None:
    assert target_of(url) == target
