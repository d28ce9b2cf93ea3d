"""The signing key, and tokens that the services' verifier accepts."""

import os
import stat

import jwt
import orjson
import pytest

from tweezer.identity.files import PRIVATE, create_file, write_file
from tweezer.identity.keys import ensure_signing_key, rotate_signing_key
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.tokens import TokenIssuer
from tweezer.rpc.errors import Unauthenticated
from tweezer.rpc.issuers import BuiltinIssuer
from tweezer.rpc.verifier import TokenVerifier

NOW_S = 4_000_000_000  # far ahead, so that tokens of this test's clock have not expired


@pytest.fixture
def settings(tmp_path):
    return IdentitySettings(data_dir=tmp_path)


@pytest.fixture
def key(settings):
    return ensure_signing_key(settings.signing_key_file, settings.jwks_file)


def verifier(settings):
    return TokenVerifier([BuiltinIssuer(settings)])


async def test_a_token_says_who_and_which_projects(settings, key):
    token = TokenIssuer(key, settings).issue("u1", "ada@example.org", ["p1", "p2"])
    caller = await verifier(settings).verify(token)
    assert (caller.user_id, caller.project_ids) == ("u1", frozenset({"p1", "p2"}))


def test_its_claims_and_header(settings, key):
    issuer = TokenIssuer(key, settings, clock=lambda: NOW_S * 1_000_000 + 999_999)
    token = issuer.issue("u1", "ada@example.org", ["p1"])
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": key.key_id}
    assert jwt.decode(token, options={"verify_signature": False}) == {
        "iss": "tweezer",
        "aud": "tweezer",
        "sub": "u1",
        "iat": NOW_S,
        "exp": NOW_S + 3600,
        "email": "ada@example.org",
        "projects": ["p1"],
    }


async def test_an_old_token_has_expired(settings, key):
    token = TokenIssuer(key, settings, clock=lambda: 1_000_000).issue("u", "n", [])
    with pytest.raises(Unauthenticated, match="the token has expired"):
        await verifier(settings).verify(token)


def test_the_key_is_made_once_and_nobody_else_can_read_it(settings, key):
    again = ensure_signing_key(settings.signing_key_file, settings.jwks_file)
    assert again.key_id == key.key_id
    assert stat.S_IMODE(settings.signing_key_file.stat().st_mode) == 0o600
    assert len(orjson.loads(settings.jwks_file.read_bytes())["keys"]) == 1


def test_only_the_public_half_is_published(settings, key):
    (published,) = orjson.loads(settings.jwks_file.read_bytes())["keys"]
    assert set(published) == {"crv", "kty", "x", "kid", "use", "alg"}
    assert published["kid"] == key.key_id


async def test_tokens_of_an_earlier_key_stay_valid(settings, key):
    old = TokenIssuer(key, settings).issue("u1", "n", [])
    settings.signing_key_file.unlink()
    new_key = ensure_signing_key(settings.signing_key_file, settings.jwks_file)
    assert new_key.key_id != key.key_id
    checks = verifier(settings)
    assert (await checks.verify(old)).user_id == "u1"
    new = TokenIssuer(new_key, settings).issue("u2", "n", [])
    assert (await checks.verify(new)).user_id == "u2"


async def test_another_key_signs_in_vain(settings, key, tmp_path):
    other = ensure_signing_key(tmp_path / "other.pem", tmp_path / "other.json")
    token = TokenIssuer(other, settings).issue("u", "n", [])
    with pytest.raises(Unauthenticated, match="the token is not valid"):
        await verifier(settings).verify(token)


def test_the_lifetime_must_outlast_the_caches_of_clients():
    with pytest.raises(ValueError, match="token_lifetime_s"):
        IdentitySettings(token_lifetime_s=60)


def test_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "file"
    assert create_file(path, b"first", PRIVATE)
    assert not create_file(path, b"second", PRIVATE)
    assert path.read_bytes() == b"first"
    write_file(path, b"third", PRIVATE)
    assert path.read_bytes() == b"third"
    assert os.listdir(path.parent) == ["file"]


def rotated(settings, now_s, keep_s=100):
    return rotate_signing_key(settings.signing_key_file, settings.jwks_file, now_s, keep_s)


def published(settings):
    keys = orjson.loads(settings.jwks_file.read_bytes())["keys"]
    return {key["kid"]: key.get("exp") for key in keys}


def test_a_rotated_key_stays_published_until_its_tokens_have_expired(settings, key):
    second = rotated(settings, 1000)
    assert published(settings) == {key.key_id: 1100, second.key_id: None}
    third = rotated(settings, 1050)
    assert published(settings) == {key.key_id: 1100, second.key_id: 1150, third.key_id: None}
    fourth = rotated(settings, 1100)
    assert published(settings) == {
        second.key_id: 1150,
        third.key_id: 1200,
        fourth.key_id: None,
    }
    assert stat.S_IMODE(settings.signing_key_file.stat().st_mode) == 0o600


def test_a_rotation_that_died_half_way_leaves_the_old_key_good(settings, key):
    old = settings.signing_key_file.read_bytes()
    rotated(settings, 1000)
    settings.signing_key_file.write_bytes(old)
    again = ensure_signing_key(settings.signing_key_file, settings.jwks_file)
    assert again.key_id == key.key_id
    assert published(settings)[key.key_id] is None


async def test_what_an_earlier_key_signs_after_its_time_is_refused(settings, key):
    checks = verifier(settings)
    forged = TokenIssuer(key, settings).issue("u", "n", [])
    assert (await checks.verify(forged)).user_id == "u"
    rotated(settings, 0, keep_s=1)  # long ago
    for _ in range(2):  # what was remembered of the token does not hold either
        with pytest.raises(Unauthenticated, match="the token is not valid"):
            await checks.verify(forged)
