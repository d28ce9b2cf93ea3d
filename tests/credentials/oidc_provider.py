"""An OIDC provider: the OP of idpyoidc, which is certified, behind the HTTP server of Python.

Keys, discovery, log-in and tokens are the library's; here is only how requests reach it.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.exception import FailedAuthentication
from idpyoidc.server.token.jwt_token import JWTToken

AUDIENCE = "https://tweezer.example/api"
CLIENT = "tweezer-cli"

_OP = "idpyoidc.server"


class ApiToken(JWTToken):
    """Access tokens for an API, by the hook of the library: who, for which API, in which roles."""

    def load_custom_claims(self, payload: Any = None) -> Any:
        sessions = self.upstream_get("context").session_manager
        user, client, _ = sessions.decrypt_branch_id(payload["sid"])
        known = self.kwargs["people"][user]
        return {**payload, "sub": known["sub"], "aud": self.def_aud, "client_id": client,
                **known["claims"]}  # fmt: skip


class Provider:
    """The provider and where it is."""

    def __init__(self, folder: Path, people: dict[str, Any], port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.fetched: list[str] = []
        passwords = folder / "passwords.json"
        passwords.write_text(json.dumps({name: p["password"] for name, p in people.items()}))
        conf = {
            "issuer": self.issuer,
            "keys": {
                "uri_path": "jwks.json",
                "key_defs": [
                    {"type": "RSA", "size": 2048, "use": ["sig"]},
                    {"type": "EC", "crv": "P-256", "use": ["sig"]},
                ],
                "read_only": False,
            },
            "token_handler_args": {
                "code": {"kwargs": {"lifetime": 600}},
                "token": {
                    "class": f"{__name__}.ApiToken",
                    "kwargs": {
                        "lifetime": 600,
                        "aud": [AUDIENCE],
                        "alg": "RS256",
                        "profile": None,
                        "people": people,
                    },
                },
                "id_token": {"class": f"{_OP}.token.id_token.IDToken", "kwargs": {}},
            },
            "endpoint": {
                "provider_config": {
                    "path": ".well-known/openid-configuration",
                    "class": f"{_OP}.oidc.provider_config.ProviderConfiguration",
                    "kwargs": {},
                },
                "token": {
                    "path": "token",
                    "class": f"{_OP}.oauth2.token.Token",
                    "kwargs": {
                        "client_authn_method": ["client_secret_post"],
                        "grant_types_helpers": {
                            "password": {
                                "class": f"{_OP}.oauth2.token_helper"
                                ".resource_owner_password_credentials"
                                ".ResourceOwnerPasswordCredentials"
                            }
                        },
                    },
                },
            },
            "authentication": {
                "user": {
                    "acr": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
                    "class": f"{_OP}.user_authn.user.UserPass",
                    "kwargs": {
                        "db_conf": {
                            "class": f"{_OP}.util.JSONDictDB",
                            "kwargs": {"filename": str(passwords)},
                        }
                    },
                }
            },
            "userinfo": {
                "class": f"{_OP}.user_info.UserInfo",
                "kwargs": {"db": {name: {"sub": p["sub"]} for name, p in people.items()}},
            },
            "authz": {
                "class": f"{_OP}.authz.AuthzHandling",
                "kwargs": {
                    "grant_config": {
                        "usage_rules": {"access_token": {"expires_in": 600}},
                        "expires_in": 43200,
                    }
                },
            },
            "session_params": {
                "encrypter": {
                    "kwargs": {
                        "keys": {
                            "key_defs": [
                                {"type": "OCT", "use": ["enc"], "kid": "password"},
                                {"type": "OCT", "use": ["enc"], "kid": "salt"},
                            ]
                        }
                    }
                }
            },
        }
        self.op = Server(
            OPConfiguration(conf=conf, base_path=str(folder), domain="127.0.0.1", port=port),
            cwd=str(folder),
        )
        self.secret = "the secret of this client, which it holds itself"
        self.op.context.cdb[CLIENT] = {
            "client_id": CLIENT,
            "client_secret": self.secret,
            "grant_types_supported": ["password"],
            "allowed_scopes": ["openid"],
            "redirect_uris": [],
        }

    def answer(self, path: str, fields: dict[str, str]) -> str:
        """Hands a request to the library."""
        self.fetched.append(path)
        if path == "/jwks.json":
            keys: str = self.op.keyjar.export_jwks_as_json()
            return keys
        name = "token" if path == "/token" else "provider_config"
        endpoint = self.op.get_endpoint(name)
        if fields:
            # Public clients have no secret, and the library wants one for this grant.
            fields.setdefault("client_secret", self.secret)
            # The library stumbles over the session of an earlier log-in with this grant.
            self.op.context.session_manager.flush()
        request = endpoint.parse_request(fields)
        try:
            done = endpoint.process_request(request)
        except FailedAuthentication:
            return json.dumps({"error": "invalid_grant", "error_description": "wrong password"})
        if "error" in done:
            return json.dumps(done.to_dict() if hasattr(done, "to_dict") else done)
        text: str = endpoint.do_response(request=request, **done)["response"]
        return text


@contextmanager
def running_provider(folder: Path, people: dict[str, Any]) -> Iterator[Provider]:
    """Serves a provider on loopback."""
    provider: Provider

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(provider.answer(self.path, {}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._send(provider.answer(self.path, dict(parse_qsl(body))))

        def _send(self, text: str) -> None:
            body = text.encode()
            self.send_response(400 if '"error"' in text else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = Provider(folder, people, server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
