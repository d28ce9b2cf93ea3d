"""Opens the result store that the settings name."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from tweezer.job.result_bucket import Bucket
from tweezer.job.result_folder import Folder
from tweezer.job.results import ResultStore
from tweezer.job.settings import JobSettings
from tweezer.job.store_errors import summary
from tweezer.process.run import StartFailed

if TYPE_CHECKING:  # not there at run time
    from obstore.store import ClientConfig, RetryConfig

#: What a URL may say. Credentials are not among it: whoever sees the settings would see them.
_OPTIONS: Final = frozenset(
    {
        "endpoint",
        "region",
        "virtual_hosted_style_request",
        "server_side_encryption",
        "sse_kms_key_id",
        "sse_bucket_key_enabled",
        "request_payer",
        "checksum_algorithm",
        "disable_bulk_delete",
        "unsigned_payload",
    }
)

#: Where the library would find the endpoint, the first one first.
_ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

_CONNECT_S: Final = 5.0

_RETRY: Final["RetryConfig"] = {
    "max_retries": 5,
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}


async def open_results(settings: JobSettings) -> ResultStore:
    """Opens the result store, or raises StartFailed saying what is wrong with it."""
    if settings.result_store_url is None:
        return ResultStore.in_folder(settings.results_dir)
    parts = urlsplit(settings.result_store_url)
    if parts.scheme == "file" and parts.path and not parts.netloc and not parts.query:
        return ResultStore(Folder(Path(unquote(parts.path))))
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.fragment:
        raise StartFailed(
            "TWEEZER_RESULT_STORE_URL must look like s3://BUCKET/PREFIX or file:///FOLDER; "
            "credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    prefix = unquote(parts.path).strip("/")
    options = dict(parse_qsl(parts.query))
    if unknown := sorted(options.keys() - _OPTIONS):
        raise StartFailed(
            f"TWEEZER_RESULT_STORE_URL cannot have the options {', '.join(unknown)}, but "
            f"{', '.join(sorted(_OPTIONS))}; everything else is set by AWS_* variables"
        )
    endpoint = options.pop("endpoint", None) or next(
        (os.environ[name] for name in _ENDPOINT_VARIABLES if os.environ.get(name)), None
    )
    store = _bucket(settings, parts.netloc, prefix, options, endpoint)
    public = settings.result_store_public_endpoint
    signing = _bucket(settings, parts.netloc, prefix, options, public) if public else store
    bucket = Bucket(store, signing, settings.result_link_lifetime_s)
    await bucket.check(f"s3://{parts.netloc}/{prefix}".rstrip("/"))
    return ResultStore(bucket)


def _bucket(
    settings: JobSettings,
    name: str,
    prefix: str,
    options: Mapping[str, Any],
    endpoint: str | None,
) -> S3Store:
    config = dict(options)
    if endpoint is not None:
        if not _is_web_address(endpoint):
            raise StartFailed(f"the endpoint of S3 must look like https://HOST, not {endpoint!r}")
        config["aws_endpoint_url_s3"] = endpoint  # this one counts, whatever the variables say
    try:
        return S3Store(
            name,
            prefix=prefix or None,
            config=config,  # type: ignore[arg-type] # the library checks the values
            client_options=_client(settings, in_the_clear=(endpoint or "").startswith("http://")),
            retry_config={
                **_RETRY,
                "retry_timeout": timedelta(seconds=settings.result_store_patience_s),
            },
        )
    except (BaseError, OSError, ValueError) as error:
        raise StartFailed(f"cannot use TWEEZER_RESULT_STORE_URL: {summary(error)}") from None


def _is_web_address(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _client(settings: JobSettings, *, in_the_clear: bool) -> "ClientConfig":
    """Returns how requests are made.

    They have no deadline as a whole: a result may be read as slowly as its reader likes.
    """
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=min(_CONNECT_S, settings.result_store_patience_s)),
        "read_timeout": timedelta(seconds=settings.result_store_patience_s),
        "timeout": timedelta(days=1),
        "default_content_type": "application/json",
    }
    if in_the_clear:
        client["allow_http"] = True
    if settings.result_store_ca_file is not None:
        try:
            client["root_certificate"] = settings.result_store_ca_file.read_bytes()
        except OSError as error:
            raise StartFailed(
                f"cannot read TWEEZER_RESULT_STORE_CA_FILE {settings.result_store_ca_file}: "
                f"{error.strerror}"
            ) from None
    return client
