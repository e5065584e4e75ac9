"""What the running call is told of its request: once that it is accepted, and under which ids."""

from __future__ import annotations

from python_worker.streaming.admission import Admission
from python_worker.streaming.fast_path import FastPath
from tests.python.support.streams import Collector, Letters, Places


def test_the_client_is_told_once_that_its_request_is_accepted() -> None:
    sink = Places()
    admission = Admission(sink)
    assert not admission.accepted
    admission.accept()
    admission.accept()
    assert admission.accepted
    assert sink.outcomes == ["accepted"]


def test_each_id_of_a_request_is_recorded_once() -> None:
    admission = Admission(Places())
    for request_id in ("0_r", "1_r", "0_r"):
        admission.note(request_id)
    assert admission.request_ids == ["0_r", "1_r"]


def test_the_fast_path_takes_over_the_collector_of_an_admitted_request() -> None:
    sink, collector = Places(), Collector("r")
    fast_path = FastPath(sink, Letters())
    admission = Admission(sink, fast_path)
    admission.collect(collector, object())
    assert admission.request_ids == ["r"]
    assert sink.outcomes == ["accepted"]
    assert "put" in vars(collector)
    fast_path.close()
    assert "put" not in vars(collector)


def test_a_call_that_returns_a_value_only_records_the_ids() -> None:
    admission, collector = Admission(sink=None), Collector("r")
    admission.collect(collector, object())
    assert (admission.accepted, admission.request_ids) == (True, ["r"])
    assert "put" not in vars(collector)
