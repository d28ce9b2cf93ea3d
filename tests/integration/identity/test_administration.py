"""Operators say who may come in, and the tokens say so afterwards."""

import asyncio

import grpc
import jwt
import pytest

from tweezer.identity import bootstrap
from tweezer.identity.tokens import TokenIssuer
from tweezer.internal.v1.membership_service_pb2 import ResolveMembershipsRequest
from tweezer.v1 import identity_admin_service_pb2 as pb
from tweezer.v1.account_service_pb2 import ListProjectsRequest
from tweezer.v1.batch_pb2 import QUEUE_PRIORITY_HIGH, QUEUE_PRIORITY_LOW, QUEUE_PRIORITY_MEDIUM

Code = grpc.StatusCode


async def add_member(house, boss, username, role=pb.ROLE_MEMBER, project="lab"):
    """Adds a user with the password `<name>'s word` and a project."""
    await house.admin.AddUser(
        pb.AddUserRequest(username=username, password=f"{username}'s word"), metadata=boss
    )
    added = await house.admin.AddProject(pb.AddProjectRequest(name=project), metadata=boss)
    await house.admin.AddMember(
        pb.AddMemberRequest(project_id=added.project.id, username=username, role=role),
        metadata=boss,
    )
    return added.project.id


async def test_a_new_member_has_the_project_in_the_next_token(house):
    boss = await house.log_in()
    project_id = await add_member(house, boss, "Ada@Example.org")
    token = await house.token("ada@example.org", "Ada@Example.org's word")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["projects"] == [project_id]
    assert "operator" not in claims


async def test_what_is_taken_away_is_not_in_the_next_token(house, fails_with):
    boss = await house.log_in()
    project_id = await add_member(house, boss, "ada")
    metadata = await house.log_in("ada", "ada's word")
    await house.admin.RemoveMember(
        pb.RemoveMemberRequest(project_id=project_id, username="ada"), metadata=boss
    )
    # The token that is out says what it said, until it expires; the next one says nothing.
    old = await house.accounts.ListProjects(ListProjectsRequest(), metadata=metadata)
    assert [project.name for project in old.projects] == ["lab"]
    metadata = await house.log_in("ada", "ada's word")
    new = await house.accounts.ListProjects(ListProjectsRequest(), metadata=metadata)
    assert list(new.projects) == []
    await house.admin.RemoveUser(pb.RemoveUserRequest(username="ada"), metadata=boss)
    assert (await fails_with(house.log_in("ada", "ada's word")))[0] is Code.UNAUTHENTICATED


async def test_users_are_listed_with_what_they_may_do(house):
    boss = await house.log_in()
    await add_member(house, boss, "ada", pb.ROLE_OPERATOR)
    await house.admin.AddUser(
        pb.AddUserRequest(username="eve", external_id="auth0|eve"), metadata=boss
    )
    listed = (await house.admin.ListUsers(pb.ListUsersRequest(), metadata=boss)).users
    seen = [
        (u.username, u.external, [(m.project_name, m.role) for m in u.memberships]) for u in listed
    ]
    assert seen == [
        ("ada", False, [("lab", pb.ROLE_OPERATOR)]),
        ("eve", True, []),
        (house.first.username, False, [("default", pb.ROLE_OPERATOR)]),
    ]


async def test_a_new_password_replaces_the_old_one(house, fails_with):
    boss = await house.log_in()
    await add_member(house, boss, "ada")
    request = pb.SetPasswordRequest(username="ada", password="another word")
    await house.admin.SetPassword(request, metadata=boss)
    assert await house.token("ada", "another word")
    assert (await fails_with(house.token("ada", "ada's word")))[0] is Code.UNAUTHENTICATED


async def test_a_project_gets_another_queue(house):
    boss = await house.log_in()
    added = await house.admin.AddProject(
        pb.AddProjectRequest(name="p", queue_priority=QUEUE_PRIORITY_HIGH, project_id="of-oidc"),
        metadata=boss,
    )
    assert (added.project.id, added.project.queue_priority) == ("of-oidc", QUEUE_PRIORITY_HIGH)
    await house.admin.SetProjectPriority(
        pb.SetProjectPriorityRequest(project_id="of-oidc", queue_priority=QUEUE_PRIORITY_LOW),
        metadata=boss,
    )
    listed = await house.admin.ListAllProjects(pb.ListAllProjectsRequest(), metadata=boss)
    assert [(p.name, p.queue_priority) for p in listed.projects] == [
        ("default", QUEUE_PRIORITY_MEDIUM),
        ("p", QUEUE_PRIORITY_LOW),
    ]


async def test_the_last_operator_stays(house, fails_with):
    boss = await house.log_in()
    refusal = (Code.FAILED_PRECONDITION, "nobody would be an operator any more")
    name, project = house.first.username, house.first.project_id
    for call in (
        house.admin.RemoveUser(pb.RemoveUserRequest(username=name), metadata=boss),
        house.admin.RemoveMember(
            pb.RemoveMemberRequest(project_id=project, username=name), metadata=boss
        ),
        house.admin.AddMember(
            pb.AddMemberRequest(project_id=project, username=name), metadata=boss
        ),
    ):
        assert await fails_with(call) == refusal
    assert await house.admin.ListUsers(pb.ListUsersRequest(), metadata=await house.log_in())


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("AddUser", pb.AddUserRequest(username="USER@localhost", password="x" * 8),
         Code.ALREADY_EXISTS),
        ("AddUser", pb.AddUserRequest(username="ada", password="short"), Code.INVALID_ARGUMENT),
        ("AddUser", pb.AddUserRequest(username="a\nb", password="x" * 8), Code.INVALID_ARGUMENT),
        ("AddUser", pb.AddUserRequest(username=" ", password="x" * 8), Code.INVALID_ARGUMENT),
        ("SetPassword", pb.SetPasswordRequest(username="nobody", password="x" * 8),
         Code.NOT_FOUND),
        ("RemoveUser", pb.RemoveUserRequest(username="nobody"), Code.NOT_FOUND),
        ("AddProject", pb.AddProjectRequest(), Code.INVALID_ARGUMENT),
        ("SetProjectPriority", pb.SetProjectPriorityRequest(project_id="x", queue_priority=1),
         Code.NOT_FOUND),
        ("SetProjectPriority", pb.SetProjectPriorityRequest(project_id="x"),
         Code.INVALID_ARGUMENT),
        ("AddMember", pb.AddMemberRequest(project_id="x", username="user@localhost"),
         Code.NOT_FOUND),
        ("RemoveMember", pb.RemoveMemberRequest(project_id="x", username="user@localhost"),
         Code.NOT_FOUND),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(house, fails_with, method, request_, code):
    boss = await house.log_in()
    assert (await fails_with(getattr(house.admin, method)(request_, metadata=boss)))[0] is code


async def test_members_cannot_manage_anything(house, fails_with):
    await add_member(house, await house.log_in(), "ada")
    ada = await house.log_in("ada", "ada's word")
    call = house.admin.ListUsers(pb.ListUsersRequest(), metadata=ada)
    assert (await fails_with(call))[0] is Code.NOT_FOUND


async def test_memberships_are_resolved_for_users_without_a_password_only(house):
    boss = await house.log_in()
    project_id = await add_member(house, boss, "ada", pb.ROLE_OPERATOR)
    eve = pb.AddUserRequest(username="eve", external_id="auth0|eve")
    await house.admin.AddUser(eve, metadata=boss)
    await house.admin.AddMember(
        pb.AddMemberRequest(project_id=project_id, username="eve"), metadata=boss
    )

    async def resolve(user_id):
        answer = await house.memberships.ResolveMemberships(
            ResolveMembershipsRequest(user_id=user_id)
        )
        return list(answer.project_ids), answer.operator

    assert await resolve("auth0|eve") == ([project_id], False)
    # A provider that names its user like one of ours does not get what is ours.
    assert await resolve(house.first.user_id) == ([], False)
    assert await resolve("nobody") == ([], False)


async def test_after_a_rotation_old_tokens_stay_good_and_new_ones_have_the_new_key(house):
    old = await house.log_in()
    answer = await house.admin.RotateSigningKey(pb.RotateSigningKeyRequest(), metadata=old)
    token = await house.token(house.first.username, house.first.password)
    assert jwt.get_unverified_header(token)["kid"] == answer.key_id
    for metadata in (old, (("authorization", f"Bearer {token}"),)):
        await house.accounts.ListProjects(ListProjectsRequest(), metadata=metadata)


async def test_a_rotation_can_make_old_tokens_worthless_at_once(house, fails_with):
    old = await house.log_in()
    await house.admin.RotateSigningKey(pb.RotateSigningKeyRequest(revoke_tokens=True), metadata=old)
    call = house.accounts.ListProjects(ListProjectsRequest(), metadata=old)
    assert await fails_with(call) == (Code.UNAUTHENTICATED, "the token is not valid")
    new = await house.log_in()
    await house.accounts.ListProjects(ListProjectsRequest(), metadata=new)


async def test_where_everybody_comes_from_a_provider_nobody_logs_in_here(open_house, fails_with):
    async with open_house(
        oidc_issuer="https://id.example", oidc_audience="tweezer", builtin_logins=False
    ) as house:
        refusal = (Code.FAILED_PRECONDITION, "tokens come from https://id.example")
        assert await fails_with(house.log_in()) == refusal
        # Not even with a token that our own key has signed.
        own = TokenIssuer(bootstrap.prepare(house.settings), house.settings).issue("u", "n", [])
        call = house.accounts.ListProjects(
            ListProjectsRequest(), metadata=(("authorization", f"Bearer {own}"),)
        )
        assert await fails_with(call) == (Code.UNAUTHENTICATED, "the token is not valid")


@pytest.mark.parametrize("way", ["RemoveUser", "RemoveMember", "AddMember"])
async def test_of_operators_who_take_each_other_away_at_once_one_stays(house, way):
    boss = await house.log_in()
    project = house.first.project_id
    names = [house.first.username, *(f"user{number}" for number in range(5))]
    for name in names[1:]:
        await house.admin.AddUser(pb.AddUserRequest(username=name, external_id=name), metadata=boss)
        await house.admin.AddMember(
            pb.AddMemberRequest(project_id=project, username=name, role=pb.ROLE_OPERATOR),
            metadata=boss,
        )

    def taken_away(name):
        if way == "RemoveUser":
            request = pb.RemoveUserRequest(username=name)
        elif way == "RemoveMember":
            request = pb.RemoveMemberRequest(project_id=project, username=name)
        else:
            request = pb.AddMemberRequest(project_id=project, username=name)
        return getattr(house.admin, way)(request, metadata=boss)

    ends = await asyncio.gather(*map(taken_away, names), return_exceptions=True)
    refused = [end for end in ends if isinstance(end, grpc.aio.AioRpcError)]
    assert [error.code() for error in refused] == [Code.FAILED_PRECONDITION]
    listed = (await house.admin.ListUsers(pb.ListUsersRequest(), metadata=boss)).users
    operators = [u for u in listed if any(m.role == pb.ROLE_OPERATOR for m in u.memberships)]
    assert len(operators) == 1
