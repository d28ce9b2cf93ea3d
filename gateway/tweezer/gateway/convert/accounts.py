"""Projects and tokens: protobuf to what the API answers."""

from collections.abc import Iterable, Mapping
from typing import Any

from tweezer.gateway.convert import words
from tweezer.v1.account_service_pb2 import IssueTokenResponse, Project
from tweezer.v1.device_pb2 import Device


def project(project: Project) -> dict[str, Any]:
    """Returns a project as the account API shows it."""
    return {
        "id": project.id,
        "project_id": project.id,
        "name": project.name,
        "project_status": "ACTIVE",
        "queue_priority": words.QUEUE_PRIORITY[project.queue_priority],
    }


def auth_info(
    claims: Mapping[str, Any], projects: Iterable[Project], devices: Iterable[Device]
) -> dict[str, Any]:
    """Returns whom a token speaks for."""
    return {
        "id": claims["sub"],
        "type": "user",
        "superuser": claims.get("operator") is True,
        "projects": {project.id: project.name for project in projects},
        "allowed_device_types": [device.device_type for device in devices],
    }


def token(response: IssueTokenResponse) -> dict[str, Any]:
    """Returns a token as OAuth 2 has it."""
    return {
        "access_token": response.access_token,
        "token_type": "Bearer",  # nosec B105 # the name of a scheme
        "expires_in": response.lifetime.seconds,
    }
