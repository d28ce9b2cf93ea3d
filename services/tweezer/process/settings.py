"""Settings that every process has."""

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """Base of the settings of each process; read once, in `main`, and passed down.

    A field is set by the environment variable TWEEZER_<FIELD>. Processes that share a fact, for
    example the data folder, share the name.
    """

    model_config = SettingsConfigDict(env_prefix="TWEEZER_", extra="ignore", frozen=True)

    data_dir: Path = Field(default_factory=lambda: user_data_path("tweezer"))
    """Folder of the databases, results and keys."""
    log_format: Literal["text", "json"] = "text"
    """`text` for people, `json` for log collectors."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""
    otel_endpoint: str | None = None
    """Where traces are sent, `http://<host>:4317` of a collector of OpenTelemetry; absent records
    none. Needs the extra `tracing`; its OTEL_* variables hold too, for example of sampling."""
    keepalive_s: float = Field(default=8.0, gt=0)
    """Longest silence of another process during a call before it is asked for a sign of life, in
    seconds."""
    keepalive_timeout_s: float = Field(default=5.0, gt=0)
    """How long the sign of life may take before the calls to that process fail, in seconds."""
    stop_on_stdin_close: bool = False
    """Stop when standard input closes: a supervisor holds the other end, so that its death, even
    by kill -9, leaves no orphan."""
