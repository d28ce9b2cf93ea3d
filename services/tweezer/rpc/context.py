"""The type of a servicer's context, in the form both mypy and the generated stubs accept."""

from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
