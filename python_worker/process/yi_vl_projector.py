"""The projector of Yi-VL. Its own module, as it is made of torch's: see ``yi_vl``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class YiVLProjector(nn.Module):  # type: ignore[misc]
    """From what is seen to what the language model reads. Its parts are named as its weights.

    Args:
        get_act_fn: Finds the function between the layers by its name.
        vision_hidden_size: How wide it is before.
        text_hidden_size: How wide it is behind.
        projector_hidden_act: The name.
        _of_llava: What vLLM's class takes beside them; it does not say what this one is made of.
    """

    def __init__(
        self,
        get_act_fn: Callable[[str], nn.Module],
        vision_hidden_size: int,
        text_hidden_size: int,
        projector_hidden_act: str,
        **_of_llava: Any,
    ) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(vision_hidden_size, text_hidden_size)
        self.linear_2 = nn.LayerNorm(text_hidden_size)
        self.act = get_act_fn(projector_hidden_act)
        self.linear_3 = nn.Linear(text_hidden_size, text_hidden_size)
        self.linear_4 = nn.LayerNorm(text_hidden_size)

    def forward(self, image_features: Tensor) -> Tensor:
        """Projects."""
        hidden = self.act(self.linear_2(self.linear_1(image_features)))
        projected: Tensor = self.linear_4(self.linear_3(hidden))
        return projected
