"""How the fields of a RequestOutput and of its completions are read."""

from __future__ import annotations

from typing import Any, Final

from python_worker.codec.records import fields_of, tuple_reader

_NOT_IN_CHANGES: Final = frozenset({"request_id", "outputs", "finished", "metrics"})
"""Fields of a RequestOutput that a patch sends apart from the other changes, or never."""

_GROWING_LISTS: Final = ("prompt_token_ids", "encoder_prompt_token_ids", "prompt_logprobs")
"""Lists that vLLM may extend in place between two items, as it does for streamed input."""

_ALWAYS_SENT: Final = ("kv_transfer_params", "ec_transfer_params")
"""Dicts of a connector, which may change them in place, so they are sent again. Few items have
any."""

_POSITIONAL: Final = ("index", "text", "token_ids", "finish_reason", "stop_reason", "logprobs")
"""The first fields that `OutputShape.read_completion` reads; all others follow them."""


class OutputShape:
    """How to read the fields of one class of outputs. Made from its first object.

    Attributes:
        cls: The class of the outputs.
        fields: The names of the fields that a patch's changes can hold.
        growing: The indices in `fields` of lists that may grow in place.
        always: The indices in `fields` of what is sent with every item.
        has_metrics: Whether the class has metrics.
        read: Reads the values of `fields`.
        other_fields: The fields of a completion that are not positional in a patch.
        unset: The values of `other_fields` in a completion that has none of them.
        read_completion: Reads all fields of a completion, `other_fields` last.
        read_others: Reads the `other_fields` of a completion.
    """

    def __init__(self, item: Any, completion: Any, fields: tuple[str, ...]) -> None:
        self.cls = type(item)
        self.fields = tuple(
            name for name in fields if name not in _NOT_IN_CHANGES and hasattr(item, name)
        )
        self.growing = [index for index, name in enumerate(self.fields) if name in _GROWING_LISTS]
        self.always = [index for index, name in enumerate(self.fields) if name in _ALWAYS_SENT]
        self.has_metrics = hasattr(item, "metrics")
        self.read = tuple_reader(self.fields)
        self.other_fields = tuple(
            name
            for name in fields_of("CompletionOutput")
            if name not in _POSITIONAL and (completion is None or hasattr(completion, name))
        )
        self.unset = (None,) * len(self.other_fields)
        self.read_completion = tuple_reader(_POSITIONAL + self.other_fields)
        self.read_others = tuple_reader(self.other_fields)


_shapes: Final[dict[tuple[type, type], OutputShape]] = {}


def shape_of(item: Any, fields: tuple[str, ...]) -> OutputShape:
    """Returns the shape of an output, by its class and the class of its completions.

    Streams share shapes: one of its own would cost each stream 1.5 KB.
    """
    completion = next(iter(item.outputs), None)
    if completion is None:
        return OutputShape(item, None, fields)
    shape = _shapes.get(key := (type(item), type(completion)))
    if shape is None:
        shape = _shapes[key] = OutputShape(item, completion, fields)
    return shape
