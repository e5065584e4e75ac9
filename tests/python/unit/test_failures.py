"""Every exception becomes a failure with a kind, a message and its causes."""

from __future__ import annotations

import asyncio
import errno
import re
from pathlib import Path

import pytest

from python_worker import codec, exceptions, failures
from python_worker.exceptions import Kind
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

OWN = [
    (exceptions.InvalidArgument, pb.FAILURE_KIND_INVALID),
    (exceptions.NoTokenLeft, pb.FAILURE_KIND_INVALID),
    (exceptions.Conflict, pb.FAILURE_KIND_CONFLICT),
    (exceptions.Overloaded, pb.FAILURE_KIND_OVERLOADED),
    (exceptions.NotServed, pb.FAILURE_KIND_NOT_FOUND),
    (exceptions.Unsupported, pb.FAILURE_KIND_UNSUPPORTED),
    (exceptions.StaleReference, pb.FAILURE_KIND_STALE_REF),
    (exceptions.Expired, pb.FAILURE_KIND_TIMEOUT),
    (exceptions.Cancelled, pb.FAILURE_KIND_CANCELLED),
    (exceptions.Draining, pb.FAILURE_KIND_DRAINING),
    (exceptions.Stopped, pb.FAILURE_KIND_WORKER_DOWN),
    (exceptions.MissingDependency, pb.FAILURE_KIND_MISSING_DEPENDENCY),
    (exceptions.HttpStatus, pb.FAILURE_KIND_HTTP_STATUS),
    (exceptions.Unreachable, pb.FAILURE_KIND_UNREACHABLE),
    (exceptions.Unauthenticated, pb.FAILURE_KIND_UNAUTHENTICATED),
    (exceptions.Forbidden, pb.FAILURE_KIND_FORBIDDEN),
    (exceptions.ProtocolError, pb.FAILURE_KIND_PROTOCOL),
]


def test_the_kinds_are_those_of_the_protocol() -> None:
    ours = {f"FAILURE_KIND_{kind.name}": int(kind) for kind in Kind}
    assert ours == {k: v for k, v in pb.FailureKind.items() if v != pb.FAILURE_KIND_UNSPECIFIED}


@pytest.mark.parametrize(("cls", "kind"), OWN)
def test_the_workers_own_exceptions_know_their_kind(
    cls: type[exceptions.BridgeError], kind: pb.FailureKind
) -> None:
    failure = failures.to_proto(cls("what was wrong", parameter="p"))
    assert failure.kind == kind
    assert failure.message == "what was wrong"
    assert codec.decode(failure.details) == {"parameter": "p"}
    assert failure.traceback == ""


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *[(status, False) for status in (200, 400, 401, 404, 409, 422, 500, 501, 505, None)],
        *[(status, True) for status in (408, 425, 429, 502, 503, 504)],
    ],
)
def test_a_status_of_a_server_says_whether_to_ask_again(
    status: int | None, retryable: bool
) -> None:
    failure = failures.to_proto(exceptions.HttpStatus("no", status=status))
    assert failure.retryable is retryable
    assert codec.decode(failure.details) == {"status": status}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("x"), Kind.INVALID),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), Kind.INVALID),
        (TypeError("x"), Kind.INVALID),
        (NotImplementedError("x"), Kind.UNSUPPORTED),
        (TimeoutError("x"), Kind.TIMEOUT),
        (FileNotFoundError("x"), Kind.NOT_FOUND),
        (asyncio.CancelledError(), Kind.CANCELLED),
        (KeyError("x"), Kind.PYTHON),
        (Exception("Call to add_lora method failed: no"), Kind.ENGINE_ERROR),
        (Exception("anything else"), Kind.PYTHON),
        (RuntimeError("Engine core initialization failed."), Kind.ENGINE_ERROR),
        (KeyboardInterrupt(), Kind.PYTHON),
        *[(OSError(number, "x"), Kind.OVERLOADED) for number in failures.EXHAUSTED],
        (OSError(errno.EIO, "x"), Kind.PYTHON),
        (MemoryError(), Kind.OVERLOADED),
        (RuntimeError("can't start new thread"), Kind.OVERLOADED),
    ],
)
def test_other_exceptions_find_theirs_by_class(error: BaseException, kind: Kind) -> None:
    assert failures.kind_of(error) == kind


def with_cause(error: BaseException, cause: BaseException) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def engine_error() -> BaseException:
    """An exception that is called as vLLM's wrapper of everything unexpected."""
    cls = type("EngineGenerateError", (Exception,), {"__module__": "vllm.v1.engine.exceptions"})
    error = cls()
    assert isinstance(error, BaseException)
    return error


def test_a_wrapper_without_a_message_speaks_through_its_cause() -> None:
    failure = failures.to_proto(with_cause(engine_error(), RuntimeError("no blocks left")))
    assert failure.kind == pb.FAILURE_KIND_ENGINE_ERROR
    assert failure.message == "no blocks left"
    assert failure.type == "vllm.v1.engine.exceptions.EngineGenerateError"
    assert failure.cause.type == "builtins.RuntimeError"


def test_a_wrapped_mistake_of_the_client_stays_the_clients() -> None:
    error = with_cause(engine_error(), ValueError("prompt has no text"))
    assert failures.kind_of(error) == Kind.INVALID


@pytest.mark.parametrize(
    "cause", [MemoryError(), OSError(errno.EMFILE, "x"), RuntimeError("can't start new thread")]
)
def test_what_the_machine_lacks_is_no_fault_of_the_engine(cause: Exception) -> None:
    assert failures.kind_of(with_cause(engine_error(), cause)) == Kind.OVERLOADED


def test_the_chain_of_causes_is_cut() -> None:
    error: BaseException = ValueError("0")
    for depth in range(1, 50):
        error = with_cause(ValueError(str(depth)), error)
    failure, depth = failures.to_proto(error), 0
    while failure.HasField("cause"):
        failure, depth = failure.cause, depth + 1
    assert depth == failures.MAX_CAUSES


def test_a_raised_exception_brings_its_traceback() -> None:
    error = with_cause(RuntimeError("deep"), ValueError("x"))
    assert "test_failures.py" in failures.to_proto(error).traceback


def test_a_huge_traceback_keeps_its_end() -> None:
    error = with_cause(RuntimeError("y" * 100_000 + "the end"), ValueError())
    traceback = failures.to_proto(error).traceback
    assert len(traceback) == failures.MAX_TRACEBACK_CHARS
    assert traceback.endswith("the end\n")


def test_an_exception_without_words_is_named() -> None:
    assert failures.to_proto(RuntimeError()).message == "RuntimeError without a message"


def test_details_of_an_error_that_says_nothing_are_those_of_its_cause() -> None:
    error = Exception()
    error.__cause__ = exceptions.InvalidArgument("wrong", parameter="p")
    assert codec.decode(failures.to_proto(error).details) == {"parameter": "p"}


def test_details_that_cannot_be_sent_are_sent_as_text() -> None:
    failure = failures.to_proto(exceptions.InvalidArgument("no", value=print))
    assert codec.decode(failure.details) == {"value": repr(print)}


GUIDE = Path(__file__).parents[3] / "elixir/guides/errors.md"
ROWS = re.findall(
    r"^\| `:(\w+)` \| [^|]+ \| [^|]+ \| (yes|no) \| [^|]+ \|$", GUIDE.read_text(), re.MULTILINE
)


@pytest.mark.parametrize(("name", "retry"), ROWS)
def test_a_kind_is_retryable_if_the_guide_says_so(name: str, retry: str) -> None:
    error = exceptions.InputFailed(Kind[name.upper()], "no")
    assert failures.to_proto(error).retryable == (retry == "yes")


def test_the_guide_has_every_kind() -> None:
    assert {name.upper() for name, _ in ROWS} == {kind.name for kind in Kind}


def all_own(cls: type[exceptions.BridgeError]) -> list[type[exceptions.BridgeError]]:
    """A class and those below it."""
    return [cls, *(it for below in cls.__subclasses__() for it in all_own(below))]


def own_error(cls: type[exceptions.BridgeError]) -> exceptions.BridgeError:
    return cls(Kind.INVALID, "no") if cls is exceptions.InputFailed else cls("no")


@pytest.mark.parametrize(
    "cls", [it for it in all_own(exceptions.BridgeError) if it.__module__ == exceptions.__name__]
)
def test_a_refusal_that_was_raised_has_no_traceback(cls: type[exceptions.BridgeError]) -> None:
    """It would show the worker's own frames, which say nothing to a client."""
    error = with_cause(own_error(cls), ValueError("behind it"))
    assert error.__traceback__ is not None
    failure = failures.to_proto(error)
    assert failure.traceback == ""
    # Of the cause it is there: it says what vLLM refused.
    assert failure.cause.message == "behind it"


@pytest.mark.parametrize(
    "cls", [it for it in all_own(exceptions.BridgeError) if it.__module__ == exceptions.__name__]
)
def test_a_refusal_says_whether_it_may_succeed_later(cls: type[exceptions.BridgeError]) -> None:
    error = own_error(cls)
    retry = dict(ROWS)[failures.kind_of(error).name.lower()]
    assert failures.to_proto(error).retryable == (retry == "yes")


def test_every_kind_of_the_wire_can_be_produced() -> None:
    made = {kind for _, kind in OWN} | set(failures.KINDS.values())
    assert made | {pb.FAILURE_KIND_UNSPECIFIED} == set(pb.FailureKind.values())
