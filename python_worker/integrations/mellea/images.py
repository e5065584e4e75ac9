"""Images of messages: what a client sent, until the engine's own renderer reads it.

Mellea's chats are texts. Where a message shows images, the chat is rendered by vLLM's renderer in
place of mellea's, as ``Vllm.chat`` does it, with the same checks of what may be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mellea.core import CBlock

from python_worker.exceptions import InvalidArgument

FORMS: Final = ("data", "path", "tensor", "url")
"""How a client may send an image; see ``engines.media.sources``."""


class Image(CBlock):
    """An image of a message. As a text it is nothing.

    Args:
        source: A map with one of ``FORMS``.
    """

    def __init__(self, source: Mapping[str, Any]) -> None:
        super().__init__("")
        self.source = source

    def __deepcopy__(self, memo: dict[int, Any]) -> Image:
        """The copy of an instruction that is repaired shows the same image."""
        return self


def images(values: list[Any] | None, path: str) -> list[Any] | None:
    """The images of a message; None where it has none.

    Args:
        values: What the client sent: maps with one of ``FORMS``, bytes, or the text of a URL.
        path: Where, for messages.

    Raises:
        InvalidArgument: One is none of these.
    """
    return [_image(value, f"{path}[{n}]") for n, value in enumerate(values or ())] or None


def _image(value: Any, path: str) -> Image:
    if isinstance(value, bytes):
        return Image({"data": value})
    if isinstance(value, str):
        return Image({"url": value})
    if isinstance(value, Mapping) and sum(form in value for form in FORMS) == 1:
        return Image(value)
    raise InvalidArgument(
        f"{path}: wants bytes, a URL, or a map with one of {', '.join(FORMS)}", parameter=path
    )


def of(message: Any) -> list[Image]:
    """The images of one of mellea's messages or components."""
    shown = getattr(message, "images", None) or getattr(message, "_images", None)
    return list(shown or ())


def check_no_images(span: Any, path: str) -> None:
    """Refuse images where only the text is told to the model.

    Raises:
        InvalidArgument: There are some.
    """
    if of(span):
        raise InvalidArgument(
            f"{path}.images: only a message or an instruction of a chat shows images; inside of "
            "another component, and without a chat, the model gets texts only",
            parameter=f"{path}.images",
        )


def with_parts(
    messages: Iterable[Mapping[str, Any]], shown: Iterable[list[Image]]
) -> list[dict[str, Any]]:
    """Messages for vLLM's renderer: the images of each, and then its text.

    Args:
        messages: With texts as their contents.
        shown: The images of each.
    """
    return [
        {**message, "content": [*map(_part, images), {"type": "text", "text": message["content"]}]}
        if images
        else dict(message)
        for message, images in zip(messages, shown, strict=True)
    ]


def _part(image: Image) -> dict[str, Any]:
    return {"type": "image", **image.source}
