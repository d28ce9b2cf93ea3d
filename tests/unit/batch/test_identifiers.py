"""Identifiers of jobs follow from the batch and their rank."""

import uuid

from tweezer.batch.identifiers import canonical_uuid, job_ids, new_batch_id


def test_jobs_are_named_by_batch_and_creation_order():
    batch = new_batch_id()
    ids = [str(uuid.uuid5(uuid.UUID(batch), str(i))) for i in range(1000)]
    assert job_ids(batch, 0, 1000) == ids
    assert job_ids(batch, 7, 3) == ids[7:10]
    assert job_ids(batch, 2, 1) == job_ids(batch, 0, 3)[2:]
    assert not set(job_ids(batch, 0, 100)) & set(job_ids(new_batch_id(), 0, 100))


def test_every_spelling_of_a_uuid_means_the_same():
    text = new_batch_id()
    for spelling in (text.upper(), text.replace("-", ""), f"{{{text}}}", f"urn:uuid:{text}"):
        assert canonical_uuid(spelling) == text
    for other in ("", "x", text[:-1]):
        assert canonical_uuid(other) is None
