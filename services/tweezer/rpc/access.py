"""Who may call which RPC: one table, compared with the servicers by a test.

What is not in the table is refused.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class Access(Enum):
    """Kinds of caller."""

    ANYBODY = auto()  #: no credential
    USER = auto()  #: a user's bearer token
    OPERATOR = auto()  #: the bearer token of a user who runs the place
    SERVICE = auto()  #: the service credential, which no user token can satisfy


_PUBLIC, _INTERNAL = "/tweezer.v1.", "/tweezer.internal.v1."

ACCESS: Final[Mapping[str, Access]] = {
    f"{_PUBLIC}BatchService/CreateBatch": Access.USER,
    f"{_PUBLIC}BatchService/GetBatch": Access.USER,
    f"{_PUBLIC}BatchService/GetBatchStatus": Access.USER,
    f"{_PUBLIC}BatchService/ListBatches": Access.USER,
    f"{_PUBLIC}BatchService/WatchBatch": Access.USER,
    f"{_PUBLIC}BatchService/AddJobs": Access.USER,
    f"{_PUBLIC}BatchService/CloseBatch": Access.USER,
    f"{_PUBLIC}BatchService/CancelBatch": Access.USER,
    f"{_PUBLIC}BatchService/CancelBatches": Access.USER,
    f"{_PUBLIC}BatchService/RepeatBatch": Access.USER,
    f"{_PUBLIC}BatchService/SetBatchTags": Access.USER,
    f"{_PUBLIC}BatchService/ListLastActivity": Access.OPERATOR,
    f"{_PUBLIC}JobService/GetJob": Access.USER,
    f"{_PUBLIC}JobService/CancelJob": Access.USER,
    f"{_PUBLIC}JobService/CancelJobs": Access.USER,
    f"{_PUBLIC}JobService/GetJobStatus": Access.USER,
    f"{_PUBLIC}JobService/ListJobs": Access.USER,
    f"{_PUBLIC}JobService/GetResultLink": Access.USER,
    f"{_PUBLIC}JobService/GetResult": Access.USER,
    # The ticket in the request is the credential: clients download without a header.
    f"{_PUBLIC}JobService/DownloadResult": Access.ANYBODY,
    f"{_PUBLIC}DeviceService/ListDevices": Access.USER,
    f"{_PUBLIC}DeviceService/GetDevice": Access.USER,
    f"{_PUBLIC}DeviceService/ListQueue": Access.USER,
    f"{_PUBLIC}DeviceService/ListPublicDevices": Access.ANYBODY,
    f"{_PUBLIC}OperatorService/PauseBatch": Access.OPERATOR,
    f"{_PUBLIC}OperatorService/ResumeBatch": Access.OPERATOR,
    f"{_PUBLIC}OperatorService/PauseDevice": Access.OPERATOR,
    f"{_PUBLIC}OperatorService/ResumeDevice": Access.OPERATOR,
    f"{_PUBLIC}OperatorService/Vacuum": Access.OPERATOR,
    f"{_PUBLIC}WebhookService/ListWebhookMessages": Access.OPERATOR,
    f"{_PUBLIC}WebhookService/ResendWebhookMessages": Access.OPERATOR,
    # The password in the request is the credential.
    f"{_PUBLIC}AccountService/IssueToken": Access.ANYBODY,
    f"{_PUBLIC}AccountService/ListProjects": Access.USER,
    f"{_PUBLIC}IdentityAdminService/AddUser": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/ListUsers": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/RemoveUser": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/SetPassword": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/AddProject": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/ListAllProjects": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/SetProjectPriority": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/AddMember": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/RemoveMember": Access.OPERATOR,
    f"{_PUBLIC}IdentityAdminService/RotateSigningKey": Access.OPERATOR,
    f"{_INTERNAL}MembershipService/ResolveMemberships": Access.SERVICE,
    f"{_INTERNAL}QueueService/EnqueueJobs": Access.SERVICE,
    f"{_INTERNAL}QueueService/ApplyIntents": Access.SERVICE,
    f"{_INTERNAL}QueueService/ApplyDevicePauses": Access.SERVICE,
    f"{_INTERNAL}QueueService/ListBatchJobs": Access.SERVICE,
    f"{_INTERNAL}QueueService/ForgetBatches": Access.SERVICE,
    f"{_INTERNAL}ProgressService/ReportProgress": Access.SERVICE,
    f"{_INTERNAL}ProgressService/ResolveAdditions": Access.SERVICE,
    f"{_INTERNAL}LeaseService/LeaseJobs": Access.SERVICE,
    f"{_INTERNAL}LeaseService/RenewLeases": Access.SERVICE,
    f"{_INTERNAL}LeaseService/FinishJobs": Access.SERVICE,
    f"{_INTERNAL}ProgramService/GetProgram": Access.SERVICE,
    f"{_INTERNAL}ProgramService/BuildProgram": Access.SERVICE,
    # Health and reflection say nothing about anybody's work.
    "/grpc.health.v1.Health/Check": Access.ANYBODY,
    "/grpc.health.v1.Health/Watch": Access.ANYBODY,
    "/grpc.health.v1.Health/List": Access.ANYBODY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access.ANYBODY,
}
