"""The signing key, and tokens that the services' verifier accepts."""

import os
import stat

import jwt
import orjson
import pytest

from tweezer.identity.files import PRIVATE, create_file, write_file
from tweezer.identity.keys import ensure_signing_key
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.tokens import TokenIssuer
from tweezer.rpc.errors import Unauthenticated
from tweezer.rpc.identity import TokenVerifier

NOW_S = 4_000_000_000  # far ahead, so that tokens of this test's clock have not expired


@pytest.fixture
def settings(tmp_path):
    return IdentitySettings(data_dir=tmp_path)


@pytest.fixture
def key(settings):
    return ensure_signing_key(settings.signing_key_file, settings.jwks_file)


def verifier(settings):
    return TokenVerifier(settings.jwks_file, settings.token_issuer, settings.token_audience)


def test_a_token_says_who_and_which_projects(settings, key):
    token = TokenIssuer(key, settings).issue("u1", "ada@example.org", ["p1", "p2"])
    caller = verifier(settings).verify(token)
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


def test_an_old_token_has_expired(settings, key):
    token = TokenIssuer(key, settings, clock=lambda: 1_000_000).issue("u", "n", [])
    with pytest.raises(Unauthenticated, match="the token has expired"):
        verifier(settings).verify(token)


def test_the_key_is_made_once_and_nobody_else_can_read_it(settings, key):
    again = ensure_signing_key(settings.signing_key_file, settings.jwks_file)
    assert again.key_id == key.key_id
    assert stat.S_IMODE(settings.signing_key_file.stat().st_mode) == 0o600
    assert len(orjson.loads(settings.jwks_file.read_bytes())["keys"]) == 1


def test_only_the_public_half_is_published(settings, key):
    (published,) = orjson.loads(settings.jwks_file.read_bytes())["keys"]
    assert set(published) == {"crv", "kty", "x", "kid", "use", "alg"}
    assert published["kid"] == key.key_id


def test_tokens_of_an_earlier_key_stay_valid(settings, key):
    old = TokenIssuer(key, settings).issue("u1", "n", [])
    settings.signing_key_file.unlink()
    new_key = ensure_signing_key(settings.signing_key_file, settings.jwks_file)
    assert new_key.key_id != key.key_id
    checks = verifier(settings)
    assert checks.verify(old).user_id == "u1"
    assert checks.verify(TokenIssuer(new_key, settings).issue("u2", "n", [])).user_id == "u2"


def test_another_key_signs_in_vain(settings, key, tmp_path):
    other = ensure_signing_key(tmp_path / "other.pem", tmp_path / "other.json")
    token = TokenIssuer(other, settings).issue("u", "n", [])
    with pytest.raises(Unauthenticated, match="the token is not valid"):
        verifier(settings).verify(token)


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
