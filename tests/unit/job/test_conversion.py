from tweezer.job.conversion import ORIGIN_OF, STATUS_OF, job_message, status_number
from tweezer.job.store.reads import JOB_COLUMNS
from tweezer.lifecycle import JobStatus
from tweezer.v1 import job_pb2


def test_every_status_has_its_number_and_back() -> None:
    assert set(STATUS_OF.values()) == set(JobStatus)
    assert set(STATUS_OF) == set(job_pb2.JobStatus.values()) - {job_pb2.JOB_STATUS_UNSPECIFIED}
    assert all(status_number(word) == number for number, word in STATUS_OF.items())


def test_every_origin_has_its_number() -> None:
    assert set(ORIGIN_OF) == set(job_pb2.JobOrigin.values()) - {job_pb2.JOB_ORIGIN_UNSPECIFIED}


def test_what_is_not_there_yet_is_absent() -> None:
    row = {column.name: None for column in JOB_COLUMNS}
    row |= {"id": "j", "status": "PENDING", "batch_id": "b", "project_id": "p", "user_id": "u"}
    row |= {"created_at": 1, "updated_at": 1_000_001, "progress": 0, "creation_order": 0}
    row |= {"origin": "CLIENT"}
    job = job_message(list(row.values()))
    assert {field.name for field, _ in job.ListFields()} == {
        "id", "status", "batch_id", "project_id", "user_id", "create_time", "update_time", "origin",
    }  # fmt: skip
    assert (job.update_time.seconds, job.update_time.nanos) == (1, 1000)


def test_what_is_there_is_shown() -> None:
    values = {
        "id": "j", "parent_id": "q", "status": "ERROR", "runs": 5, "batch_id": "b",
        "project_id": "p", "user_id": "u", "created_at": 1, "updated_at": 2, "start_at": 3,
        "end_at": 4, "variables_json": '{"a": 1}', "errors": '["Too long."]', "progress": 40,
        "creation_order": 6, "slurm_job_id": "77", "slurm_cluster_name": "c", "origin": "OVH",
    }  # fmt: skip
    job = job_message([values[column.name] for column in JOB_COLUMNS])
    unset = {field.name for field in job.DESCRIPTOR.fields} - {f.name for f, _ in job.ListFields()}
    assert unset == {"sequence"}
    assert list(job.errors) == ["Too long."]
    assert job.status == job_pb2.JOB_STATUS_ERROR
    assert job.origin == job_pb2.JOB_ORIGIN_OVH
    assert job.end_time.nanos == 4000
