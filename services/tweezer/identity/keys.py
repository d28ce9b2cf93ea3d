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
        pem = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        create_file(signing_key_file, pem, PRIVATE)
    private_key = load_pem_private_key(signing_key_file.read_bytes(), password=None)
    if not isinstance(private_key, Ed25519PrivateKey):
        raise ValueError(f"{signing_key_file} holds no Ed25519 key")
    public = _public_jwk(private_key)
    _publish(public, jwks_file)
    return SigningKey(private_key, public["kid"])


def _public_jwk(private_key: Ed25519PrivateKey) -> dict[str, Any]:
    raw = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    # The thumbprint of RFC 7638: over the required members only, in this order.
    thumbprint = hashlib.sha256(orjson.dumps(required)).digest()
    return {**required, "kid": _base64url(thumbprint), "use": "sig", "alg": "EdDSA"}


def _publish(public: dict[str, Any], jwks_file: Path) -> None:
    published = orjson.loads(jwks_file.read_bytes())["keys"] if jwks_file.exists() else []
    if all(key.get("kid") != public["kid"] for key in published):
        write_file(jwks_file, orjson.dumps({"keys": [*published, public]}), PUBLIC)


def _base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
