"""Self-attention over the tokens of all views of an object, by a denoiser's own weights.

    (objects x views, tokens, width) -> (objects, views x tokens, width) -> attention -> back again

Source: MVDream (arXiv:2308.16512), section 3.1.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

#: The ending of the names by which diffusers calls a transformer block's self-attention.
SELF_ATTENTION = "attn1.processor"


class JoinedViews:
    """One of diffusers' attention processors, handed the views of each object as one long picture.

    A batch holds the views of an object one after the other; where it holds several texts, each text has all views.
    """

    def __init__(self, stock: Callable[..., Tensor], n_together: int) -> None:
        self.stock, self.n_together = stock, n_together

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attention of each object's tokens among themselves; the signature is diffusers'."""
        together = hidden_states.unflatten(0, (-1, self.n_together)).flatten(1, 2)
        attended = self.stock(attn, together, encoder_hidden_states, attention_mask, temb)
        return attended.unflatten(1, (self.n_together, -1)).flatten(0, 1)


def join_views(denoiser: Any, n_together: int) -> None:
    """Make a UNet's self-attention look at so many views together; 1 leaves the stock network as it is."""
    if n_together == 1:
        return
    processors: Mapping[str, Callable[..., Tensor]] = denoiser.attn_processors
    joined = {
        name: JoinedViews(stock, n_together) if name.endswith(SELF_ATTENTION) else stock
        for name, stock in processors.items()
    }
    denoiser.set_attn_processor(joined)
