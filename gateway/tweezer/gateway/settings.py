"""Settings of the gateway process."""

from typing import ClassVar, Self

from pydantic import AnyHttpUrl, Field, IPvAnyNetwork, model_validator

from tweezer.process.settings import ProcessSettings

_MIB = 1024 * 1024


class GatewaySettings(ProcessSettings):
    """Where the gateway listens, whom it calls and what it lets in."""

    process_name: ClassVar[str] = "gateway"

    gateway_host: str = "127.0.0.1"
    """Address to listen on."""
    gateway_port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes any free one."""
    public_url: AnyHttpUrl | None = None
    """Base of the links that clients follow; absent takes it from each request. Needed behind a
    proxy that ends TLS or changes the host name."""

    gateway_trusted_proxies: list[IPvAnyNetwork] = Field(default_factory=list)
    """Networks of load balancers and proxies, a JSON list: they are believed from where and by what
    scheme a request comes (X-Forwarded-For and -Proto). Others are not."""

    # The next three are named as in the settings of the gRPC services, so that one environment
    # serves all processes.
    batch_address: str = "127.0.0.1:8001"
    """Where BatchService, DeviceService and AccountService listen."""
    job_address: str = "127.0.0.1:8002"
    """Where JobService listens."""
    max_message_bytes: int = Field(default=64 * _MIB, ge=_MIB)
    """Largest gRPC message, in bytes."""

    gateway_max_body_bytes: int = Field(default=32 * _MIB, ge=1024)
    """Largest request body, in bytes, as sent and after decompression."""
    gateway_max_body_values: int = Field(default=1_000_000, ge=1000)
    """Most values in a JSON body: small values take many times their size in memory."""
    gateway_max_header_bytes: int = Field(default=64 * 1024, ge=8 * 1024)
    """Largest head of a request (first line and headers), in bytes."""
    gateway_body_patience: float = Field(default=20.0, gt=0)
    """Longest wait for the next part of a request body, in seconds."""
    gateway_max_requests: int = Field(default=500, ge=1)
    """Most requests under way, streams of events aside; those beyond are answered with 429."""
    gateway_max_streams: int = Field(default=1000, ge=1)
    """Most open streams of events; those beyond are answered with 429."""
    gateway_call_deadline: float = Field(default=25.0, gt=0)
    """Deadline of a call to a service, in seconds. Shorter than the 30 s of the public client, so
    that it gets an answer that says what happened."""
    gateway_download_deadline: float = Field(default=600.0, gt=0)
    """Deadline of a result download, in seconds."""
    gateway_max_results_bytes: int = Field(default=32 * _MIB, ge=1024)
    """Most bytes of result files in one answer; links to results have no such bound."""
    gateway_events_keep_alive: float = Field(default=15.0, gt=0)
    """Longest silence in a stream of events, in seconds; proxies close silent connections."""
    gateway_events_life: float = Field(default=3600.0, gt=0)
    """How long a stream of events lasts at most, in seconds; clients open it again."""
    gateway_metrics: bool = True
    """Whether GET /metrics is answered."""
    gateway_shutdown_grace: int = Field(default=10, ge=0)
    """How long running requests may go on when the process stops, in seconds."""

    @model_validator(mode="after")
    def _bodies_fit_messages(self) -> Self:
        if self.gateway_max_body_bytes > self.max_message_bytes:
            raise ValueError("gateway_max_body_bytes must not be above max_message_bytes")
        return self
