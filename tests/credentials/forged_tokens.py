"""Makes tokens of the built-in issuer: good ones, and those that attackers would make."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tweezer.identity import bootstrap
from tweezer.identity.settings import IdentitySettings
from tweezer.rpc.service_key import ensure_service_key, read_service_key


class Forge:
    """Makes tokens, good ones and others."""

    def __init__(self, settings: IdentitySettings) -> None:
        self.settings = settings
        self.key = bootstrap.prepare(settings)
        self.jwk = orjson.loads(settings.jwks_file.read_bytes())["keys"][-1]
        ensure_service_key(settings.service_key_file)
        self.now = int(time.time())

    def claims(self, **changed: Any) -> dict[str, Any]:
        usual = {
            "iss": "tweezer",
            "aud": "tweezer",
            "sub": "u",
            "iat": self.now,
            "exp": self.now + 600,
            "projects": ["p"],
            "operator": True,
        }
        return {name: v for name, v in {**usual, **changed}.items() if v is not None}

    def token(
        self, *, key: Any = None, alg: str = "EdDSA", headers: Any = None, **claims: Any
    ) -> str:
        """Signs claims, with the real key unless there is another."""
        # Below jwt.encode, which would not sign all of these claims.
        return jwt.PyJWS().encode(
            json.dumps(self.claims(**claims)).encode(),
            key or self.key.private_key,
            algorithm=alg,
            headers={"kid": self.key.key_id} if headers is None else headers,
        )

    def with_hmac(self, secret: bytes, **changed: Any) -> str:
        """Signs as an attacker does who hopes that the public key is taken for a shared secret."""
        head = {"alg": "HS256", "typ": "JWT", "kid": self.key.key_id}
        text = f"{encoded(head)}.{encoded(self.claims(**changed))}"
        signature = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    def bad_credentials(self, **changed: Any) -> dict[str, str | None]:
        """Returns credentials that open nothing for users, by what is wrong with them."""

        def token(**special: Any) -> str:
            return self.token(**{**changed, **special})

        public = self.key.private_key.public_key()
        good = token()
        head, claims, signature = good.split(".")
        stolen = {**self.claims(**changed), "sub": "somebody else"}
        tokens = {
            "malformed": "x.y.z",
            "one part": "token",
            "not ascii enough": "a b c",
            "expired": token(iat=self.now - 900, exp=self.now - 1),
            "not yet valid": token(nbf=self.now + 900),
            "without an end": token(exp=None),
            "without a user": token(sub=None),
            "wrong audience": token(aud="another"),
            "without audience": token(aud=None),
            "wrong issuer": token(iss="https://evil.example"),
            "issuers in a list": token(iss=["tweezer"]),
            "wrong key": token(key=Ed25519PrivateKey.generate()),
            "key without name": token(headers={}),
            "unknown key": token(headers={"kid": "unknown"}),
            "its own key": token(
                key=Ed25519PrivateKey.generate(), headers={"kid": "mine", "jwk": self.jwk}
            ),
            "another algorithm": token(key=new_ec_key(SECP256R1()), alg="ES256"),
            "alg none": f"{encoded({'alg': 'none', 'kid': self.key.key_id})}.{claims}.",
            "alg None": f"{encoded({'alg': 'None', 'kid': self.key.key_id})}.{claims}.{signature}",
            "alg none, signed": f"{encoded({'alg': 'none', 'kid': self.key.key_id})}"
            f".{claims}.{signature}",
            "HS256 with the raw key": self.with_hmac(
                public.public_bytes(Encoding.Raw, PublicFormat.Raw), **changed
            ),
            "HS256 with the PEM": self.with_hmac(
                public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), **changed
            ),
            "HS256 with the JWK": self.with_hmac(self.jwk["x"].encode(), **changed),
            "HS256 with nothing": self.with_hmac(b"", **changed),
            "no signature": f"{head}.{claims}.",
            "other claims": f"{head}.{encoded(stolen)}.{signature}",
        }
        credentials = {name: f"Bearer {token}" for name, token in tokens.items()}
        service = f"Service {read_service_key(self.settings.service_key_file)}"
        return {
            **credentials,
            "nothing": None,
            "empty": "",
            "no scheme": good,
            "another scheme": f"Basic {good}",
            "only the scheme": "Bearer ",
            "service credential": service,
            "service key as a bearer": f"Bearer {service.removeprefix('Service ')}",
        }


def encoded(value: Any) -> str:
    """Returns a part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
