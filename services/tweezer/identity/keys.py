"""The key that tokens are signed with, and the public keys they are checked with."""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tweezer.identity.files import PRIVATE, PUBLIC, create_file, write_file


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key and its name in the JWKS."""

    private_key: Ed25519PrivateKey
    key_id: str


def ensure_signing_key(signing_key_file: Path, jwks_file: Path) -> SigningKey:
    """Returns the signing key, made at the first call, and publishes its public half.

    Public keys that are already published stay: tokens signed with an earlier key remain valid.
    """
    if not signing_key_file.exists():
        create_file(signing_key_file, _pem(Ed25519PrivateKey.generate()), PRIVATE)
    key = read_signing_key(signing_key_file)
    publish_public_half(key, jwks_file)
    return key


def publish_public_half(key: SigningKey, jwks_file: Path) -> None:
    """Adds the public half of a key to those in the file, unless it is there."""
    _publish(_public_jwk(key.private_key), jwks_file)


def read_signing_key(signing_key_file: Path) -> SigningKey:
    """Returns the key of the file."""
    return parse_signing_key(signing_key_file.read_bytes())


def parse_signing_key(pem: bytes) -> SigningKey:
    """Returns the key of a text; raises ValueError for another kind."""
    private_key = load_pem_private_key(pem, password=None)
    if not isinstance(private_key, Ed25519PrivateKey):
        raise ValueError("this is no Ed25519 key")
    return SigningKey(private_key, _public_jwk(private_key)["kid"])


def rotate_signing_key(
    signing_key_file: Path, jwks_file: Path, now_s: int, keep_s: int
) -> SigningKey:
    """Replaces the signing key and returns the new one.

    The public halves of the earlier keys stay published for `keep_s` seconds; after that, nothing
    is accepted that they have signed, by whomever.
    """
    private_key = Ed25519PrivateKey.generate()
    public = _public_jwk(private_key)
    # Published first: until the next line, nobody signs with it.
    earlier = [
        {**key, "exp": min(key.get("exp", now_s + keep_s), now_s + keep_s)}
        for key in _published(jwks_file)
    ]
    kept = [key for key in earlier if key["exp"] > now_s]
    _write_jwks(jwks_file, [*kept, public])
    write_file(signing_key_file, _pem(private_key), PRIVATE)
    return SigningKey(private_key, public["kid"])


def _public_jwk(private_key: Ed25519PrivateKey) -> dict[str, Any]:
    raw = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    # The thumbprint of RFC 7638: over the required members only, in this order.
    thumbprint = hashlib.sha256(orjson.dumps(required)).digest()
    return {**required, "kid": _base64url(thumbprint), "use": "sig", "alg": "EdDSA"}


def _publish(public: dict[str, Any], jwks_file: Path) -> None:
    published = _published(jwks_file)
    if public not in published:
        # One with an end is that of a rotation that did not get as far as the private key.
        others = [key for key in published if key.get("kid") != public["kid"]]
        _write_jwks(jwks_file, [*others, public])


def _published(jwks_file: Path) -> list[dict[str, Any]]:
    if not jwks_file.exists():
        return []
    keys: list[dict[str, Any]] = orjson.loads(jwks_file.read_bytes())["keys"]
    return keys


def _write_jwks(jwks_file: Path, keys: list[dict[str, Any]]) -> None:
    write_file(jwks_file, orjson.dumps({"keys": keys}), PUBLIC)


def _pem(private_key: Ed25519PrivateKey) -> bytes:
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
