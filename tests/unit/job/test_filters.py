import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tweezer.job.filters import MOST_VALUES, selection
from tweezer.rpc.errors import InvalidInput
from tweezer.v1.job_pb2 import JobFilter

MINE, YOURS = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("id", JobFilter(ids=["no uuid"])),
        ("batch_id", JobFilter(batch_ids=[""])),
        ("project_id", JobFilter(project_ids=["1"])),
        ("status", JobFilter(statuses=[0])),
        ("status", JobFilter(statuses=[1, 99])),
        ("origin", JobFilter(origins=[0])),
        ("id", JobFilter(ids=[MINE] * (MOST_VALUES + 1))),
        ("user_id", JobFilter(user_ids=["u"] * (MOST_VALUES + 1))),
        ("start_date", JobFilter(start_time=Timestamp(seconds=2**62))),
        ("end_date", JobFilter(end_time=Timestamp(seconds=-(2**62)))),
    ],
)
def test_impossible_values_are_refused_by_the_name_of_the_field(
    field: str, wanted: JobFilter
) -> None:
    with pytest.raises(InvalidInput) as refused:
        selection(wanted, [MINE])
    assert refused.value.field == field


@pytest.mark.parametrize(
    "wanted",
    [JobFilter(), JobFilter(statuses=[1, 2]), JobFilter(ids=[MINE]), JobFilter(batch_ids=[MINE])],
)
def test_every_branch_is_limited_to_the_projects_of_the_caller(wanted: JobFilter) -> None:
    selected = selection(wanted, [MINE, YOURS])
    for branch in (selected.where, *selected.branches):
        assert any("job.project_id" in str(condition) for condition in branch)


def test_projects_and_statuses_make_branches() -> None:
    assert len(selection(JobFilter(), [MINE]).branches) == 1
    assert len(selection(JobFilter(), [MINE, YOURS]).branches) == 2
    assert len(selection(JobFilter(statuses=[1, 2, 2]), [MINE, YOURS]).branches) == 4


@pytest.mark.parametrize(
    "wanted",
    [
        JobFilter(),
        JobFilter(project_ids=[MINE, YOURS]),
        JobFilter(user_ids=["u"], origins=[1, 2], min_runs=1, max_runs=2),
    ],
)
def test_what_never_changes_about_jobs_of_a_project_makes_a_steady_list(wanted: JobFilter) -> None:
    assert selection(wanted, [MINE]).steady_in == MINE


@pytest.mark.parametrize(
    ("wanted", "projects"),
    [
        (JobFilter(), []),
        (JobFilter(), [MINE, YOURS]),
        (JobFilter(user_ids=["u", "v"]), [MINE]),
        (JobFilter(statuses=[1]), [MINE]),
        (JobFilter(errors=False), [MINE]),
        (JobFilter(start_time=Timestamp()), [MINE]),
        (JobFilter(end_time=Timestamp()), [MINE]),
        (JobFilter(ids=[YOURS]), [MINE]),
        (JobFilter(id_prefix="a"), [MINE]),
        (JobFilter(batch_ids=[YOURS]), [MINE]),
    ],
)
def test_other_lists_are_not_steady(wanted: JobFilter, projects: list[str]) -> None:
    assert selection(wanted, projects).steady_in is None


def test_many_projects_are_not_split() -> None:
    projects = [f"{number:08x}-1111-4111-8111-111111111111" for number in range(100)]
    assert len(selection(JobFilter(), projects).branches) == 1


@pytest.mark.parametrize(
    ("wanted", "few"),
    [
        (JobFilter(ids=[MINE]), True),
        (JobFilter(batch_ids=[MINE]), True),
        (JobFilter(batch_ids=[MINE, YOURS]), False),
        (JobFilter(id_prefix="ab"), False),
        (JobFilter(), False),
    ],
)
def test_named_keys_are_few_jobs(wanted: JobFilter, few: bool) -> None:
    assert selection(wanted, [MINE]).few is few
