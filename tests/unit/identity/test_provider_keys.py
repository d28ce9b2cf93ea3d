"""When the keys of a provider are fetched, and which of them are used."""

import asyncio
import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tweezer.rpc.errors import Unavailable
from tweezer.rpc.provider_keys import LONGEST_USE, PAUSE, ProviderFailed, ProviderKeys
from tweezer.rpc.token_keys import usable_keys

ISSUER = "https://id.example/realm"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
JWKS = "https://id.example/keys"
LIFETIME = 3600.0


def rsa_jwk(bits=2048, **members):
    public = rsa.generate_private_key(65537, bits).public_key()
    return {**RSAAlgorithm.to_jwk(public, as_dict=True), "kid": "rsa", **members}


def ec_jwk(curve=None, **members):
    public = ec.generate_private_key(curve or ec.SECP256R1()).public_key()
    return {**ECAlgorithm.to_jwk(public, as_dict=True), "kid": "ec", **members}


def ed_jwk(**members):
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    return {**OKPAlgorithm.to_jwk(public, as_dict=True), "kid": "ed", **members}


class Web:
    """What the provider publishes, and a clock."""

    def __init__(self):
        self.now = 1000.0
        self.fetched = []
        self.documents = {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": JWKS},
            JWKS: {"keys": [ed_jwk(kid="a")]},
        }
        self.away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def fetch(self, url):
        self.fetched.append(url)
        await self.may_answer.wait()
        if self.away:
            raise ProviderFailed("away")
        return self.documents[url]

    def keys(self, jwks_url=None):
        return ProviderKeys(ISSUER, jwks_url, LIFETIME, self.fetch, lambda: self.now)


@pytest.fixture
async def web():
    return Web()


async def settled(keys):
    """Waits until no look is under way."""
    if keys._look is not None:
        await keys._look


async def test_keys_are_found_by_discovery_and_then_kept(web):
    keys = web.keys()
    assert set(await keys.keys("a")) == {"a"}
    assert web.fetched == [DISCOVERY, JWKS]
    web.now += LIFETIME - 1
    await keys.keys("a")
    assert len(web.fetched) == 2


async def test_an_address_by_setting_needs_no_discovery(web):
    await web.keys(JWKS).keys("a")
    assert web.fetched == [JWKS]


async def test_all_who_wait_share_one_look(web):
    keys = web.keys(JWKS)
    web.may_answer.clear()
    waiting = [asyncio.create_task(keys.keys("a")) for _ in range(20)]
    await asyncio.sleep(0)
    web.may_answer.set()
    await asyncio.gather(*waiting)
    assert web.fetched == [JWKS]


async def test_an_unknown_key_is_looked_for_but_not_at_every_call(web):
    keys = web.keys(JWKS)
    await keys.keys("a")
    web.now += PAUSE
    web.documents[JWKS] = {"keys": [ed_jwk(kid="b")]}
    assert set(await keys.keys("b")) == {"b"}  # rotated: the old one is gone with it
    for number in range(50):
        assert f"made up {number}" not in await keys.keys(f"made up {number}")
    assert len(web.fetched) == 2
    web.now += PAUSE
    await keys.keys("made up")
    assert len(web.fetched) == 3


async def test_after_the_lifetime_keys_are_fetched_again_and_nobody_waits(web):
    keys = web.keys(JWKS)
    before = await keys.keys("a")
    web.now += LIFETIME
    web.documents[JWKS] = {"keys": []}
    web.may_answer.clear()
    assert await keys.keys("a") is before
    web.may_answer.set()
    await settled(keys)
    assert set(await keys.keys(None)) == set()


async def test_the_same_keys_stay_the_same_mapping(web):
    """By which the verifier sees whether what it remembers still holds."""
    keys = web.keys(JWKS)
    before = await keys.keys("a")
    web.now += LIFETIME
    await keys.keys("a")
    await settled(keys)
    assert await keys.keys("a") is before


async def test_a_provider_that_is_away_is_missed_after_a_day(web):
    keys = web.keys(JWKS)
    await keys.keys("a")
    web.away = True
    web.now += LONGEST_USE
    assert "a" in await keys.keys("a")
    await settled(keys)
    web.now += 1
    with pytest.raises(Unavailable):
        await keys.keys("a")


async def test_a_provider_that_was_never_there_is_asked_again_soon(web):
    keys = web.keys()
    web.away = True
    with pytest.raises(Unavailable):
        await keys.keys("a")
    web.away = False
    web.now += 5
    assert set(await keys.keys("a")) == {"a"}


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example", "jwks_uri": JWKS},
        {"issuer": ISSUER, "jwks_uri": "http://id.example/keys"},
        {"issuer": ISSUER},
        ["issuer"],
    ],
)
async def test_a_discovery_document_that_is_not_right_gives_no_keys(web, document):
    web.documents[DISCOVERY] = document
    with pytest.raises(Unavailable):
        await web.keys().keys("a")


def test_keys_for_accepted_signatures_are_used():
    published = [rsa_jwk(), ec_jwk(), ed_jwk()]
    keys = usable_keys(published)
    assert {name: k.key.algorithm_name for name, k in keys.items()} == {
        "rsa": "RS256",
        "ec": "ES256",
        "ed": "EdDSA",
    }


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "h"},
        {
            "kty": "oct",
            "k": base64.urlsafe_b64encode(b"x" * 32).decode(),
            "kid": "h",
            "alg": "HS256",
        },
        rsa_jwk(1024),
        rsa_jwk(alg="RS512"),
        rsa_jwk(use="enc"),
        rsa_jwk(alg="HS256"),
        ec_jwk(ec.SECP384R1()),
        {key: value for key, value in ed_jwk().items() if key != "kid"},
        {"kid": "x"},
        "text",
    ],
)
def test_other_keys_are_not(jwk):
    assert usable_keys([jwk]) == {}
