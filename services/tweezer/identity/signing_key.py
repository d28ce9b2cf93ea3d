"""The key that tokens are signed with: given by a setting, or made in the data folder."""

from cryptography.exceptions import UnsupportedAlgorithm

from tweezer.identity.keys import (
    SigningKey,
    ensure_signing_key,
    parse_signing_key,
    publish_public_half,
)
from tweezer.identity.settings import IdentitySettings
from tweezer.process.run import StartFailed
from tweezer.rpc.shared_keys import read_given
from tweezer.rpc.token_keys import published_keys

_SETTING = "TWEEZER_SIGNING_KEY"


def ready_signing_key(settings: IdentitySettings) -> SigningKey:
    """Returns the key, and sees to it that its public half is known.

    A key that is given is only ever read; then the public keys may be given as well.
    """
    if not settings.signing_key_is_given:
        if settings.jwks_is_given:
            raise StartFailed(
                f"public keys are given and the key that signs is not: set {_SETTING} or "
                f"{_SETTING}_FILE to the key that they belong to"
            )
        return ensure_signing_key(settings.signing_key_file, settings.jwks_file)
    key = given_signing_key(settings)
    if settings.jwks_is_given:
        _require_published(key, settings)
    else:
        publish_public_half(key, settings.jwks_file)
    return key


def given_signing_key(settings: IdentitySettings) -> SigningKey:
    """Returns the key that a setting gives, or raises StartFailed."""
    content, where = settings.signing_key, str(settings.signing_key_file)
    if content is not None and "signing_key_file" in settings.model_fields_set:
        raise StartFailed(f"give either {_SETTING} or {_SETTING}_FILE, not both")
    if content is not None:
        text, where = content.get_secret_value(), _SETTING
    else:
        text = read_given(settings.signing_key_file, _SETTING)
    try:
        return parse_signing_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their texts may show what was given
        raise StartFailed(f"{where} must hold an Ed25519 key as PEM, without a password") from None


def _require_published(key: SigningKey, settings: IdentitySettings) -> None:
    if settings.jwks is not None:
        text, where = settings.jwks, "TWEEZER_JWKS"
    else:
        text, where = read_given(settings.jwks_file, "TWEEZER_JWKS"), str(settings.jwks_file)
    try:
        known = published_keys(text)
    except ValueError as error:
        raise StartFailed(f"cannot use {where}: {error}") from None
    if key.key_id not in known:
        raise StartFailed(
            f"{where} lacks the public half of the key that signs, {key.key_id}: nobody could "
            "check its tokens"
        )
