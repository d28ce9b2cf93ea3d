"""`tweezer users`: who may log in."""

from typing import TYPE_CHECKING, Annotated

import typer

from tweezer.cli.operators import Operator, operate
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.passwords import new_password
from tweezer.cli.terminal import answers

if TYPE_CHECKING:
    from tweezer.v1.identity_admin_service_pb2 import User
    from tweezer.v1.identity_admin_service_pb2_grpc import IdentityAdminServiceStub

Username = Annotated[str, typer.Argument(help="User name, an e-mail address by custom.")]

users = typer.Typer(help="Say who may log in.", no_args_is_help=True)


@users.command("add")
def add(
    username: Username,
    external_id: Annotated[
        str | None,
        typer.Option(
            "--external-id",
            help="What an OIDC provider calls the user, who then has no password here.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    password = None if external_id is not None else new_password()

    async def add_user(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import AddUserRequest

        request = AddUserRequest(username=username)
        if external_id is not None:
            request.external_id = external_id
        else:
            request.password = password or ""
        answer = await identity_stub(operator).AddUser(request, metadata=operator.metadata)
        say(f"{answer.user.username} is user {answer.user.id}")

    operate(add_user, resolve_data_dir(data_dir))


@users.command("list")
def list_users(data_dir: DataDir = None) -> None:
    """Show all users and their projects."""

    async def show(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import ListUsersRequest

        answer = await identity_stub(operator).ListUsers(
            ListUsersRequest(), metadata=operator.metadata
        )
        for user in answer.users:
            say(_line(user))

    operate(show, resolve_data_dir(data_dir))


@users.command("remove")
def remove(username: Username, data_dir: DataDir = None) -> None:
    """Remove a user; tokens that the user has stay good until they expire."""

    async def remove_user(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import RemoveUserRequest

        request = RemoveUserRequest(username=username)
        await identity_stub(operator).RemoveUser(request, metadata=operator.metadata)
        say(f"{username} is removed; tokens that are out stay good until they expire")

    operate(remove_user, resolve_data_dir(data_dir))


@users.command("password")
def set_password(username: Username, data_dir: DataDir = None) -> None:
    """Give a user another password, asked for or read from standard input."""
    password = new_password()

    async def change(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import SetPasswordRequest

        request = SetPasswordRequest(username=username, password=password)
        await identity_stub(operator).SetPassword(request, metadata=operator.metadata)
        say(f"the password of {username} is changed")

    operate(change, resolve_data_dir(data_dir))


def identity_stub(operator: Operator) -> "IdentityAdminServiceStub":
    """Returns the stub for the commands about users, projects and keys."""
    from tweezer.v1.identity_admin_service_pb2_grpc import IdentityAdminServiceStub

    return IdentityAdminServiceStub(operator.batch)


def say(text: str) -> None:
    """Prints a line of the answer as it is."""
    answers().print(text, markup=False, soft_wrap=True)


def _line(user: "User") -> str:
    from tweezer.v1.identity_admin_service_pb2 import Role

    roles = [
        f"{m.project_name} ({Role.Name(m.role).removeprefix('ROLE_').lower()})"
        for m in user.memberships
    ]
    kind = "external" if user.external else "password"
    return "  ".join([user.id, f"{kind:<8}", user.username, ", ".join(roles) or "no project"])
