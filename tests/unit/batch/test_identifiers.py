"""Identifiers of jobs follow from the batch and their rank."""

import uuid

from tweezer.batch.identifiers import canonical_uuid, job_ids, new_batch_id

ORDERS = range(1000)


def test_batches_are_named_at_random():
    ids = [uuid.UUID(new_batch_id()) for _ in ORDERS]
    assert {(i.version, i.variant) for i in ids} == {(8, uuid.RFC_4122)}
    # Every digit that is not fixed takes every value.
    seen = [set(digits) for digits in zip(*(i.hex for i in ids), strict=True)]
    assert {len(digits) for n, digits in enumerate(seen) if n not in (12, 16)} == {16}


def test_jobs_are_named_by_batch_and_creation_order():
    batch = new_batch_id()
    ids = job_ids(batch, 0, 1000)
    assert len(set(ids)) == 1000
    assert job_ids(batch, 7, 3) == ids[7:10]
    assert job_ids(batch, 2, 1) == job_ids(batch, 0, 3)[2:]
    assert not set(job_ids(batch, 0, 100)) & set(job_ids(new_batch_id(), 0, 100))


def test_jobs_begin_as_their_batch_and_go_on_as_its_names_of_version_5():
    batch = uuid.UUID(new_batch_id())
    names = [uuid.uuid5(batch, str(order)).hex for order in ORDERS]
    expected = [batch.hex[:4] + name[4:12] + "8" + name[13:] for name in names]
    assert job_ids(str(batch), 0, 1000) == [str(uuid.UUID(digits)) for digits in expected]


def test_jobs_of_the_first_batches_have_the_names_they_always_had():
    batch = str(uuid.uuid4())
    ids = [str(uuid.uuid5(uuid.UUID(batch), str(order))) for order in ORDERS]
    assert job_ids(batch, 0, 1000) == ids
    assert job_ids(batch, 7, 3) == ids[7:10]


def test_every_spelling_of_a_uuid_means_the_same():
    text = new_batch_id()
    for spelling in (text.upper(), text.replace("-", ""), f"{{{text}}}", f"urn:uuid:{text}"):
        assert canonical_uuid(spelling) == text
    for other in ("", "x", text[:-1]):
        assert canonical_uuid(other) is None
