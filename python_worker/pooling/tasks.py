"""Which pooling task an engine can do, and what to change where it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from python_worker.exceptions import InvalidArgument, Unsupported

TASKS = ("embed", "classify", "token_embed", "token_classify")

#: Names that are no tasks, though they look like it, and what to use.
NO_TASKS: Mapping[str, str] = {
    "score": "call score",
    "encode": "use token_embed or token_classify",
    "reward": "use classify or token_classify",
    "plugin": "call AsyncLLM.encode, whose output is the plug-in's own",
    "embed&token_classify": "use embed or token_classify",
}


def check_task(task: str) -> None:
    """Refuse what is no task.

    Raises:
        InvalidArgument: It is none; the message lists them.
    """
    if task in TASKS:
        return
    hint = f": {NO_TASKS[task]}" if task in NO_TASKS else ""
    raise InvalidArgument(
        f"task: {task!r} is none that is pooled in batches{hint}. There are {', '.join(TASKS)}",
        parameter="task",
        tasks=list(TASKS),
    )


def check_supported(task: str, supported: Sequence[str]) -> None:
    """Refuse a task that the engine's model cannot do.

    Args:
        task: One of ``TASKS``.
        supported: What the engine says that it can do.

    Raises:
        Unsupported: It says what the model does, and how to build one that does the task.
    """
    if task in supported:
        return
    raise unsupported(f"task: this model does not {_VERBS[task]}", task, supported)


def unsupported(what: str, task: str, supported: Sequence[str]) -> Unsupported:
    """The error for a task that a model cannot do; it goes on from ``what``."""
    convert = "classify" if "classify" in task else "embed"
    can = ", ".join(sorted(supported)) or "nothing of the kind"
    pools = any(it in TASKS for it in supported)
    how = f"convert={convert!r}" if pools else f"runner='pooling' and convert={convert!r}"
    return Unsupported(
        f"{what}. What it does is: {can}. Build the engine with {how}, or take a model that was "
        "trained for it",
        parameter="task",
        task=task,
        supported_tasks=sorted(supported),
        convert=convert,
    )


_VERBS = {
    "embed": "embed texts",
    "classify": "classify texts",
    "token_embed": "embed tokens",
    "token_classify": "classify tokens",
}


def check_scores(
    score_type: str | None, own: str | None, supported: Sequence[str], hf_config: Any
) -> str:
    """How a model scores.

    Args:
        score_type: As vLLM says of its own task.
        own: That task.
        supported: What the engine says that it can do.
        hf_config: The model's own configuration.

    Raises:
        Unsupported: It cannot.
    """
    if score_type is None:
        raise unsupported(
            "score: this model does not score" + (f" with its task {own!r}" if own else ""),
            "embed",
            supported,
        )
    labels = getattr(hf_config, "num_labels", 0)
    if score_type == "cross-encoder" and labels != 1:
        raise Unsupported(
            "score: the scoring API is only enabled for num_labels == 1, and this classifier has "
            f"{labels} labels; call classify, or take a cross-encoder or a model that embeds",
            parameter="num_labels",
            num_labels=labels,
            supported_tasks=sorted(supported),
        )
    return score_type
