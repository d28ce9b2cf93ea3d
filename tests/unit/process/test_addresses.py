import pytest

from tweezer.process.addresses import is_several, target_of
from tweezer.process.run import StartFailed


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:8001", "127.0.0.1:8001"),
        ("batch:8001", "batch:8001"),
        ("dns:///batch:8001", "dns:///batch:8001"),
        ("unix:/run/tweezer/batch", "unix:/run/tweezer/batch"),
        ("10.0.0.1:8001,10.0.0.2:8001", "ipv4:10.0.0.1:8001,10.0.0.2:8001"),
        ("10.0.0.1:8001, 10.0.0.2:8001", "ipv4:10.0.0.1:8001,10.0.0.2:8001"),
        ("[::1]:8001,[fd00::2]:8001", "ipv6:[::1]:8001,[fd00::2]:8001"),
        ("ipv4:10.0.0.1:8001,10.0.0.2:8001", "ipv4:10.0.0.1:8001,10.0.0.2:8001"),
    ],
)
def test_what_an_address_means(address: str, target: str) -> None:
    assert target_of(address) == target
    assert is_several(address) == ("," in target)


@pytest.mark.parametrize(
    "address",
    [
        "batch-1:8001,batch-2:8001",
        "10.0.0.1:8001,[::1]:8001",
        "10.0.0.1,10.0.0.2",
        "10.0.0.1:8001,",
        "10.0.0.1:8001,10.0.0.2:port",
        "10.0.0.1:8001,10.0.0.300:8001",
    ],
)
def test_what_cannot_be_several_is_told(address: str) -> None:
    with pytest.raises(StartFailed, match=r"must be IP addresses of one kind.*dns:///NAME:PORT"):
        target_of(address)
