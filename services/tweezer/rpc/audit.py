"""The audit log: who did what, one line for each call that changes something.

What goes into a line is named here field by field, so that no secret gets in by accident.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import grpc

from tweezer.process.audit_log import record
from tweezer.rpc.errors import status_of
from tweezer.rpc.identity import current_caller

_PUBLIC: Final = "/tweezer.v1."


class Audited(NamedTuple):
    """What a call is called in the log, and which fields of its messages are recorded."""

    event: str
    asked: tuple[str, ...] = ()  #: paths of fields of the request
    answered: tuple[str, ...] = ()  #: paths of fields of the response


#: Calls that are recorded. AccountService.IssueToken is not here: it records log-ins itself.
AUDITED: Final[Mapping[str, Audited]] = {
    f"{_PUBLIC}{method}": audited
    for method, audited in {
        "BatchService/CreateBatch": Audited("batch created", ("project_id",), ("batch.id",)),
        "BatchService/RepeatBatch": Audited("batch repeated", ("batch_id",), ("batch.id",)),
        "BatchService/AddJobs": Audited("jobs added", ("batch_id",)),
        "BatchService/CloseBatch": Audited("batch closed", ("batch_id",)),
        "BatchService/CancelBatch": Audited("batch cancelled", ("batch_id",)),
        "BatchService/CancelBatches": Audited("batches cancelled", ("batch_ids", "cancel_all")),
        "BatchService/SetBatchTags": Audited("batch tagged", ("batch_id",)),
        "JobService/CancelJob": Audited("job cancelled", ("job_id",)),
        "JobService/CancelJobs": Audited("jobs cancelled", ("batch_id",)),
        "OperatorService/PauseBatch": Audited("batch paused", ("batch_id",)),
        "OperatorService/ResumeBatch": Audited("batch resumed", ("batch_id",)),
        "OperatorService/PauseDevice": Audited("device paused", ("device_type",)),
        "OperatorService/ResumeDevice": Audited("device resumed", ("device_type",)),
        "OperatorService/Vacuum": Audited("vacuum", ("dry_run",), ("batches",)),
        "WebhookService/ResendWebhookMessages": Audited(
            "webhook messages sent again", ("message_id", "all_failed")
        ),
        "IdentityAdminService/AddUser": Audited("user added", ("username",), ("user.id",)),
        "IdentityAdminService/RemoveUser": Audited("user removed", ("username",)),
        "IdentityAdminService/SetPassword": Audited("password set", ("username",)),
        "IdentityAdminService/AddProject": Audited("project added", ("name",), ("project.id",)),
        "IdentityAdminService/SetProjectPriority": Audited(
            "project priority set", ("project_id", "queue_priority")
        ),
        "IdentityAdminService/AddMember": Audited(
            "member added", ("project_id", "username", "role")
        ),
        "IdentityAdminService/RemoveMember": Audited("member removed", ("project_id", "username")),
        "IdentityAdminService/RotateSigningKey": Audited(
            "signing key rotated", ("revoke_tokens",), ("key_id",)
        ),
    }.items()
}

_LONGEST_TEXT: Final = 200
_MOST_VALUES: Final = 100


class AuditTrail(grpc.aio.ServerInterceptor):
    """Records the calls of the table, next to their handlers: inside the guard."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handlers of the calls that are recorded."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        audited = AUDITED.get(method)
        if handler is None or audited is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _recording(audited, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )


def _recording(audited: Audited, handle: Any) -> Any:
    async def call(request: Any, context: Any) -> Any:
        facts = {"by": current_caller().user_id, **_fields(request, audited.asked)}
        try:
            response = await handle(request, context)
        except asyncio.CancelledError:
            record(audited.event, outcome="CANCELLED", **facts)  # the caller has gone away
            raise
        except Exception as error:
            record(audited.event, outcome=_outcome(error), **facts)
            raise
        record(audited.event, outcome="OK", **facts | _fields(response, audited.answered))
        return response

    return call


def _outcome(error: Exception) -> str:
    code = error.code() if isinstance(error, grpc.aio.AioRpcError) else status_of(error)
    return (code or grpc.StatusCode.INTERNAL).name


def _fields(message: Any, paths: tuple[str, ...]) -> dict[str, Any]:
    return {path: _plain(_field(message, path)) for path in paths}


def _field(message: Any, path: str) -> Any:
    for step in path.split("."):
        kind = message.DESCRIPTOR.fields_by_name[step].enum_type
        message = getattr(message, step)
        if kind is not None:
            return kind.values_by_number[message].name
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    return [str(item)[:_LONGEST_TEXT] for item in value[:_MOST_VALUES]]
