from concurrent.futures import ThreadPoolExecutor

import pytest

from tweezer.cli import endpoints
from tweezer.cli.data_lock import hold
from tweezer.cli.endpoints import Endpoints

WHERE = Endpoints(url="http://127.0.0.1:1", batch="127.0.0.1:2", job="127.0.0.1:3")


@pytest.fixture
def elsewhere():
    """A thread, for what waits."""
    with ThreadPoolExecutor(1) as threads:
        yield threads


def test_what_is_written_is_read_while_the_stack_runs(tmp_path):
    with hold(tmp_path):
        endpoints.write(tmp_path, WHERE)
        assert endpoints.read(tmp_path) == WHERE
        endpoints.remove(tmp_path)
        assert not list(tmp_path.glob("endpoints*"))


def test_a_stack_that_starts_is_waited_for(tmp_path, elsewhere):
    with hold(tmp_path):
        asked = elsewhere.submit(endpoints.read, tmp_path)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.2)
        endpoints.write(tmp_path, WHERE)
        assert asked.result(timeout=60) == WHERE


def test_a_stack_that_stops_is_waited_for(tmp_path, elsewhere):
    with hold(tmp_path):
        asked = elsewhere.submit(endpoints.read, tmp_path)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.2)
    assert asked.result(timeout=60) is None


def test_the_file_of_a_stack_that_is_gone_counts_for_nothing(tmp_path):
    with hold(tmp_path):
        endpoints.write(tmp_path, WHERE)
    assert endpoints.read(tmp_path) is None


def test_a_folder_that_does_not_exist_has_no_endpoints(tmp_path):
    assert endpoints.read(tmp_path / "absent") is None
