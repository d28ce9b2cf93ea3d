"""A signing key that is given: only read, replaced by the operator, its public half known."""

import time
from pathlib import Path

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs
from typer.testing import CliRunner

from tweezer.cli.main import app
from tweezer.cli.new_keys import make_keys
from tweezer.identity.bootstrap import prepare
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.tokens import TokenIssuer
from tweezer.process.run import StartFailed
from tweezer.rpc.errors import NotAllowedNow, Unauthenticated, Unavailable
from tweezer.rpc.issuers import BuiltinIssuer
from tweezer.rpc.settings import RpcSettings
from tweezer.rpc.verifier import TokenVerifier


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Keys as a store of secrets mounts them."""
    make_keys(tmp_path / "mounted")
    folder = tmp_path / "mounted" / "keys"
    for file in folder.iterdir():
        file.chmod(0o440)
    return folder


def signing(tmp_path: Path, **given: object) -> IdentitySettings:
    return IdentitySettings(data_dir=tmp_path / "batch", **given)  # type: ignore[arg-type]


def issuer(settings: IdentitySettings) -> TokenIssuer:
    return TokenIssuer(prepare(settings), settings)


def verifier(settings: RpcSettings) -> TokenVerifier:
    return TokenVerifier([BuiltinIssuer(settings)])


def by_file(mounted: Path) -> dict[str, Path]:
    return {"signing_key_file": mounted / "signing.pem", "jwks_file": mounted / "jwks.json"}


def by_text(mounted: Path) -> dict[str, str]:
    names = {"signing_key": "signing.pem", "jwks": "jwks.json"}
    return {name: (mounted / file).read_text() for name, file in names.items()}


@pytest.mark.parametrize("give", [by_file, by_text])
async def test_machines_that_share_no_folder_know_each_others_tokens(tmp_path, mounted, give):
    settings = signing(tmp_path, **give(mounted))
    token = issuer(settings).issue("u1", "ada", ["p1"])
    public = {name: value for name, value in give(mounted).items() if name.startswith("jwks")}
    elsewhere = RpcSettings(data_dir=tmp_path / "job", **public)
    assert (await verifier(elsewhere).verify(token)).user_id == "u1"
    assert (await verifier(settings).verify(token)).user_id == "u1"
    # Nothing was made, neither there nor here.
    assert not (tmp_path / "job").exists()
    assert not (tmp_path / "batch" / "keys").exists()
    assert sorted(file.name for file in mounted.iterdir()) == sorted(
        ["jwks.json", "result-tickets.key", "service.key", "signing.pem", "webhooks.key"]
    )


async def test_the_public_half_is_published_here_where_no_public_keys_are_given(tmp_path, mounted):
    settings = signing(tmp_path, signing_key_file=mounted / "signing.pem")
    token = issuer(settings).issue("u1", "ada", [])
    assert (await verifier(settings).verify(token)).user_id == "u1"
    assert [file.name for file in (tmp_path / "batch" / "keys").iterdir()] == ["jwks.json"]


@pytest.mark.parametrize("give", [by_file, by_text])
def test_a_given_key_is_not_replaced_here(tmp_path, mounted, give):
    before = (mounted / "signing.pem").read_bytes()
    for revoke in (False, True):
        with pytest.raises(NotAllowedNow, match="given by a setting"):
            issuer(signing(tmp_path, **give(mounted))).rotate(revoke_tokens=revoke)
    assert (mounted / "signing.pem").read_bytes() == before


async def test_the_operator_replaces_it_while_everything_runs(tmp_path, mounted):
    """First the public keys, then the one that signs; tokens of both are good all the while."""
    settings = signing(tmp_path, **by_file(mounted))
    tokens, checks = issuer(settings), verifier(settings)
    old = tokens.issue("old", "ada", [])
    make_keys(
        mounted.parent, new_signing_key=True
    )  # replaces the files, as a store of secrets does
    new = tokens.issue("new", "ada", [])
    heads = [jwt.get_unverified_header(token)["kid"] for token in (old, new)]
    assert len(set(heads)) == 2
    assert [(await checks.verify(token)).user_id for token in (old, new)] == ["old", "new"]
    (mounted / "jwks.json").unlink()
    (mounted / "jwks.json").write_bytes(
        orjson.dumps({"keys": [public_key(mounted, heads[1])]})  # the old one is done with
    )
    with pytest.raises(Unauthenticated):
        await checks.verify(old)


def public_key(mounted: Path, key_id: str) -> object:
    pem = serialization.load_pem_private_key((mounted / "signing.pem").read_bytes(), None)
    public = jwt.algorithms.OKPAlgorithm.to_jwk(pem.public_key(), as_dict=True)
    return {**public, "kid": key_id, "alg": "EdDSA", "use": "sig"}


async def test_what_cannot_be_used_leaves_the_earlier_keys_good(tmp_path, mounted):
    settings = signing(tmp_path, **by_file(mounted))
    tokens, checks = issuer(settings), verifier(settings)
    token = tokens.issue("u1", "ada", [])
    assert (await checks.verify(token)).user_id == "u1"
    for name in ("signing.pem", "jwks.json"):
        (mounted / name).unlink()
        (mounted / name).write_text("half of a hidden key")
    with capture_logs() as logs:
        again = tokens.issue("u2", "ada", [])
        assert (await checks.verify(again)).user_id == "u2"
    assert [line["log_level"] for line in logs] == ["error", "error"]
    assert "hidden" not in repr(logs)


async def test_without_any_public_key_nobody_is_told_that_a_token_is_wrong(tmp_path, mounted):
    broken = tmp_path / "broken.json"
    broken.write_text("[]")
    token = issuer(signing(tmp_path, **by_file(mounted))).issue("u1", "ada", [])
    checks = verifier(RpcSettings(data_dir=tmp_path, jwks_file=broken))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await checks.verify(token)


def ec_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize("text", ["", "hidden", ec_key()])
def test_what_is_no_signing_key_is_refused_and_not_shown(tmp_path, text):
    file = tmp_path / "key"
    file.write_text(text)
    for given in ({"signing_key": text}, {"signing_key_file": file}):
        with pytest.raises(StartFailed, match="must hold an Ed25519 key") as refused:
            prepare(signing(tmp_path, **given))
        assert "hidden" not in str(refused.value)


def test_public_keys_that_do_not_fit_are_told(tmp_path, mounted):
    make_keys(tmp_path / "other")
    other = tmp_path / "other" / "keys" / "jwks.json"
    cases = {
        "lacks the public half": {
            "signing_key_file": mounted / "signing.pem",
            "jwks_file": other,
        },
        "the key that signs is not": {"jwks_file": other},
        "not both": {**by_file(mounted), "signing_key": "x"},
        "cannot use TWEEZER_JWKS": {"signing_key_file": mounted / "signing.pem", "jwks": "{}"},
    }
    for reason, given in cases.items():
        with pytest.raises(StartFailed, match=reason):
            prepare(signing(tmp_path, **given))
    with pytest.raises(StartFailed, match="cannot use TWEEZER_JWKS"):
        BuiltinIssuer(RpcSettings(data_dir=tmp_path, jwks="no"))


def test_the_command_makes_a_new_signing_key_and_keeps_the_rest(tmp_path):
    def make(*options: str) -> dict[str, bytes]:
        result = CliRunner().invoke(app, ["keys", "make", str(tmp_path), *options])
        assert result.exit_code == 0, result.output
        return {file.name: file.read_bytes() for file in (tmp_path / "keys").iterdir()}

    first = make("--new-signing-key")
    later = make("--new-signing-key")
    changed = {name for name in first if later[name] != first[name]}
    assert changed == {"signing.pem", "jwks.json"}
    old, new = orjson.loads(later["jwks.json"])["keys"]
    assert [old["kid"]] == [key["kid"] for key in orjson.loads(first["jwks.json"])["keys"]]
    assert 3600 < old["exp"] - time.time() < 3700
    assert "exp" not in new
