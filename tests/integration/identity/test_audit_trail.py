"""Who logged in, who failed to, and who changed what, as the log has it."""

import json
import logging

import grpc
import pytest

from tweezer.process.audit_log import LOGGER
from tweezer.v1 import identity_admin_service_pb2 as pb
from tweezer.v1.account_service_pb2 import ListProjectsRequest


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, LOGGER)

    def of(event):
        records = [json.loads(r.message) for r in caplog.records if r.name == LOGGER]
        return [line for line in records if line["event"] == event]

    return of


async def test_log_ins_are_recorded_whether_they_succeed_or_not(house, lines):
    await house.log_in()
    for name, password in ((house.first.username, "guess"), ("my-password-by-mistake", "x")):
        with pytest.raises(grpc.aio.AioRpcError):
            await house.token(name, password)
    good, wrong, unknown = lines("login")
    assert (good["outcome"], good["user_id"]) == ("OK", house.first.user_id)
    assert (wrong["outcome"], wrong["username"]) == ("Unauthenticated", house.first.username)
    # What nobody is called may be a password in the wrong field.
    assert "my-password-by-mistake" not in json.dumps(unknown)
    assert len(unknown["unknown_username_sha256"]) == 12


async def test_changes_are_recorded_with_who_and_how_they_ended(house, lines, caplog):
    boss = await house.log_in()
    request = pb.AddUserRequest(username="ada", password="a secret word")
    added = await house.admin.AddUser(request, metadata=boss)
    with pytest.raises(grpc.aio.AioRpcError):
        await house.admin.AddUser(request, metadata=boss)
    first, second = lines("user added")
    assert (first["by"], first["username"], first["outcome"]) == (
        house.first.user_id,
        "ada",
        "OK",
    )
    assert first["user.id"] == added.user.id
    assert second["outcome"] == "ALREADY_EXISTS"
    await house.admin.AddMember(
        pb.AddMemberRequest(
            project_id=house.first.project_id, username="ada", role=pb.ROLE_OPERATOR
        ),
        metadata=boss,
    )
    (member,) = lines("member added")
    assert (member["project_id"], member["role"]) == (house.first.project_id, "ROLE_OPERATOR")
    everything = "\n".join(record.getMessage() for record in caplog.records)
    token = boss[0][1].removeprefix("Bearer ")
    for secret in ("a secret word", house.first.password, token):
        assert secret not in everything


async def test_reading_is_not_recorded(house, lines, caplog):
    boss = await house.log_in()
    caplog.clear()
    await house.accounts.ListProjects(ListProjectsRequest(), metadata=boss)
    assert [r for r in caplog.records if r.name == LOGGER] == []


async def test_every_change_of_who_may_come_in_is_recorded(house, lines):
    boss = await house.log_in()
    project = house.first.project_id
    calls = {
        "user added": ("AddUser", pb.AddUserRequest(username="ada", password="a secret word")),
        "password set": (
            "SetPassword",
            pb.SetPasswordRequest(username="ada", password="another word"),
        ),
        "project added": ("AddProject", pb.AddProjectRequest(name="lab")),
        "project priority set": (
            "SetProjectPriority",
            pb.SetProjectPriorityRequest(project_id=project, queue_priority=2),
        ),
        "member added": (
            "AddMember",
            pb.AddMemberRequest(project_id=project, username="ada"),
        ),
        "member removed": (
            "RemoveMember",
            pb.RemoveMemberRequest(project_id=project, username="ada"),
        ),
        "user removed": ("RemoveUser", pb.RemoveUserRequest(username="ada")),
        "signing key rotated": ("RotateSigningKey", pb.RotateSigningKeyRequest()),
    }
    for event, (method, request) in calls.items():
        await getattr(house.admin, method)(request, metadata=boss)
        (line,) = lines(event)
        assert (line["by"], line["outcome"]) == (house.first.user_id, "OK"), event
