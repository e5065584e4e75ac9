"""What a client reaches of mellea, through the dispatcher."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.integrations.mellea.served import mellea
from python_worker.integrations.mellea.sessions import Session
from tests.python.support.mellea import CHAT, Engine, backend_of

ROWS = {row.name: row for row in mellea()}


def test_every_class_has_a_row_that_checks_its_arguments() -> None:
    assert set(ROWS) == {
        *("LocalVLLMBackend", "MelleaModelOption", "MelleaSession"),
        *("MelleaTemplateFormatter", "ModelOutputThunk", "MelleaTools", "MelleaCompileCache"),
    }
    assert all(row.strict for row in ROWS.values())


@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_member_that_is_shown_exists_and_returns_at_once(name: str) -> None:
    row = ROWS[name]
    cls = row.cls or type(row.singleton)
    for member in row.shown or ():
        method = inspect.getattr_static(cls, member)
        assert inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method), member


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("LocalVLLMBackend", {}),
        ("LocalVLLMBackend", {"engine": "x", "model_id": "m"}),
        ("LocalVLLMBackend", {"engine": Engine(), "model_id": 5}),
        ("LocalVLLMBackend", {"engine": Engine(), "model_id": "m", "formatter": "x"}),
        ("LocalVLLMBackend", {"engine": Engine(), "model_id": "m", "model_options": []}),
        ("MelleaSession", {"backend": "x"}),
        ("MelleaTemplateFormatter", {"model_id": None}),
        ("MelleaTemplateFormatter", {"model_id": "m", "template_path": 5}),
    ],
)
async def test_a_wrong_argument_of_a_constructor_is_refused(
    name: str, arguments: dict[str, Any]
) -> None:
    constructors = ROWS[name].constructors
    assert constructors is not None
    with pytest.raises(InvalidArgument):
        await constructors.construct("new", [], arguments)


async def test_calls_end_with_the_engine() -> None:
    engine = Engine("x")
    backend = await backend_of(engine)
    session = await Session.new(backend, CHAT)
    thunk = await backend.generate_from_context("x", CHAT)
    for name, target in (
        ("LocalVLLMBackend", backend),
        ("MelleaSession", session),
        ("ModelOutputThunk", thunk),
    ):
        assert ROWS[name].owner(target) is engine
    await thunk.avalue()


async def test_only_an_engine_of_its_own_is_exchanged() -> None:
    other = Engine("other")
    backend = await backend_of(Engine("one"))
    with pytest.raises(Unsupported, match="not the backend's own"):
        await backend.use_engine(other)
    with pytest.raises(Unsupported, match="not the backend's own"):
        await backend.engine_args()
    own = await backend_of(Engine("one"), engine_args={"max_num_seqs": 2})
    assert await own.engine_args() == {"max_num_seqs": 2}
    await own.use_engine(other)
    thunk = await own.generate_from_context("x", CHAT)
    assert await thunk.avalue() == "other"
