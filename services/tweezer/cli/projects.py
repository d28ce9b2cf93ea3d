"""`tweezer projects`: what owns batches, and whose it is."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tweezer.cli.operators import Operator, operate
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.users import Username, identity_stub, say

if TYPE_CHECKING:
    from tweezer.v1.account_service_pb2 import Project

ProjectId = Annotated[str, typer.Argument(help="Identifier of the project.")]


class Priority(StrEnum):
    """Queues, served in this order."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    FREE = "free"


class RoleName(StrEnum):
    """What a user may do in a project."""

    MEMBER = "member"  #: submit and see work
    OPERATOR = "operator"  #: also run the place


projects = typer.Typer(help="Say what owns batches, and whose it is.", no_args_is_help=True)


@projects.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    priority: Annotated[Priority, typer.Option(help="Queue of its batches.")] = Priority.MEDIUM,
    project_id: Annotated[
        str | None,
        typer.Option(
            "--id", help="Identifier that an OIDC provider has for it.", show_default="new"
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Add a project."""

    async def add_project(operator: Operator) -> None:
        from tweezer.v1.batch_pb2 import QueuePriority
        from tweezer.v1.identity_admin_service_pb2 import AddProjectRequest

        request = AddProjectRequest(
            name=name,
            queue_priority=QueuePriority.Value(f"QUEUE_PRIORITY_{priority.name}"),
            project_id=project_id or "",
        )
        answer = await identity_stub(operator).AddProject(request, metadata=operator.metadata)
        say(f"{name} is project {answer.project.id}")

    operate(add_project, resolve_data_dir(data_dir))


@projects.command("list")
def list_projects(data_dir: DataDir = None) -> None:
    """Show all projects."""

    async def show(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import ListAllProjectsRequest

        answer = await identity_stub(operator).ListAllProjects(
            ListAllProjectsRequest(), metadata=operator.metadata
        )
        for project in answer.projects:
            say(_line(project))

    operate(show, resolve_data_dir(data_dir))


@projects.command("set-priority")
def set_priority(
    project_id: ProjectId,
    priority: Annotated[Priority, typer.Argument(help="Queue.")],
    data_dir: DataDir = None,
) -> None:
    """Put the batches that a project creates from now on into another queue."""

    async def change(operator: Operator) -> None:
        from tweezer.v1.batch_pb2 import QueuePriority
        from tweezer.v1.identity_admin_service_pb2 import SetProjectPriorityRequest

        request = SetProjectPriorityRequest(
            project_id=project_id,
            queue_priority=QueuePriority.Value(f"QUEUE_PRIORITY_{priority.name}"),
        )
        answer = await identity_stub(operator).SetProjectPriority(
            request, metadata=operator.metadata
        )
        say(_line(answer.project))

    operate(change, resolve_data_dir(data_dir))


@projects.command("add-member")
def add_member(
    project_id: ProjectId,
    username: Username,
    role: Annotated[RoleName, typer.Option(help="What the user may do.")] = RoleName.MEMBER,
    data_dir: DataDir = None,
) -> None:
    """Make a user a member, or change the role; the user's next token says so."""

    async def add_to_project(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import AddMemberRequest, Role

        request = AddMemberRequest(
            project_id=project_id, username=username, role=Role.Value(f"ROLE_{role.name}")
        )
        await identity_stub(operator).AddMember(request, metadata=operator.metadata)
        say(f"{username} is {role} of {project_id}")

    operate(add_to_project, resolve_data_dir(data_dir))


@projects.command("remove-member")
def remove_member(project_id: ProjectId, username: Username, data_dir: DataDir = None) -> None:
    """End a membership; tokens that the user has stay good until they expire."""

    async def remove(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import RemoveMemberRequest

        request = RemoveMemberRequest(project_id=project_id, username=username)
        await identity_stub(operator).RemoveMember(request, metadata=operator.metadata)
        say(f"{username} has left {project_id}; tokens that are out stay good until they expire")

    operate(remove, resolve_data_dir(data_dir))


def _line(project: "Project") -> str:
    from tweezer.v1.batch_pb2 import QueuePriority

    queue = QueuePriority.Name(project.queue_priority).removeprefix("QUEUE_PRIORITY_").lower()
    return f"{project.id}  {queue:<8}  {project.name}"
