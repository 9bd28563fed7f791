"""The loss of one training step: what guidance says and the recipe's losses, each with its weight.

A recipe's `losses` maps names to losses, {type: ..., weight: ...}. The guidance's own terms are weighed there too, by a
number or a schedule alone: its loss is called `sds`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import UserError, did_you_mean, require
from core.kinds import Geometry, Guidance, Loss, Renderer, TrainingStep
from core.part import Choice
from core.schedule import NEVER, Schedule

#: The name of the guidance's loss.
GUIDANCE_TERM = "sds"
#: Terms that recipes of earlier versions weighed by a number, and the losses that they are now.
FORMER_TERMS = {
    "sparsity": "sparsity: {type: opacity-entropy, weight: ...}",
    "density": "density: {type: density, weight: ...}",
    "kept": "kept: {type: kept-colours, weight: ...}",
    "shape": "sketch: {type: sketch-shape, path: ..., weight: ...}",
    "normal": "normals: {type: sketch-normals, path: ..., weight: ...}",
}
#: A setting that stood beside these weights.
FORMER_SETTINGS = {"density_from_deg": "density: {type: density, min_elevation_deg: ..., weight: ...}"}


def check_losses(losses: Mapping[str, Any]) -> None:
    """Refuse what a recipe's `losses` cannot mean: names that are no names, weights below 0, numbers of old recipes."""
    for name, given in losses.items():
        require(name.isidentifier(), f"losses.{name}: a name is made of letters, digits and _")
        if name in FORMER_SETTINGS:
            require(False, f"losses.{name}: a setting of a loss now. Say {FORMER_SETTINGS[name]}")
        elif isinstance(given, Schedule):
            least, most = min(given.values), max(given.values)
            require(least >= 0, f"losses.{name}: a weight is at least 0, got {least:g}")
            if name in FORMER_TERMS and most > 0:
                said = FORMER_TERMS[name]
                require(False, f"losses.{name}: a loss of its own now. Say {said}, with the number as its weight")


class LossTerms(nn.Module):
    """All terms of a recipe, called with what the guidance gave and the record of the step."""

    def __init__(
        self, given: Mapping[str, Any], geometry: Geometry, renderer: Renderer, guidance: Guidance, path: str
    ) -> None:
        """Build the losses and check that a rendering holds what they need.

        Args:
            path: where the recipe says them, for the errors.

        Raises:
            UserError: a loss that does not fit, or a weight of a term that nobody gives.
        """
        super().__init__()
        of_guidance = (GUIDANCE_TERM, *guidance.term_names)
        self._of_guidance = [guidance]  # in a list: no submodule, the system has it already
        self.weights = {name: Schedule.constant(1.0) for name in of_guidance}
        #: The terms by the settings that weigh them.
        self.settings = {f"{path}.{name}": name for name in of_guidance}
        self.names: list[str] = []
        self._losses = nn.ModuleList()
        for name, said in given.items():
            if isinstance(said, Choice):
                if name in of_guidance:
                    raise UserError(f"{path}.{name}: '{guidance.part_name}' gives a term of this name; choose another")
                self.weights[name] = said.config.weight
                if max(said.config.weight.values) > 0:
                    self.names.append(name)
                    self.settings[f"{path}.{name}.weight"] = name
                    self._losses.append(_fitting(said.build(geometry, renderer), renderer, f"{path}.{name}"))
            elif name in of_guidance:
                self.weights[name] = NEVER if said is None else said
            elif said is not None and max(said.values) > 0:
                raise UserError(
                    f"{path}.{name}: a weight alone, and '{guidance.part_name}' gives no such term. "
                    f"{did_you_mean(name, of_guidance)} A loss is {{type: ..., weight: ...}}; see --list loss"
                )
        #: From world coordinates to those of the file that the first such loss follows.
        self.to_input = next((loss.to_input for loss in self.parts() if loss.to_input is not None), None)
        #: The mesh that the first such loss follows.
        self.shape = next((loss.shape for loss in self.parts() if loss.shape is not None), None)
        #: Whether renderings are to hold normals.
        self.with_normals = any("normals" in loss.needs for loss in self.parts())

    def parts(self) -> list[Loss]:
        """The recipe's losses, without the guidance's."""
        return list(self._losses)  # pyright: ignore[reportReturnType]

    def forward(
        self, of_guidance: Mapping[str, Tensor], now: TrainingStep
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The weighed sum, and each term for the log, not weighed; 0 for one that is not computed since its weight is.

        Raises:
            UserError: a loss or the guidance gave something else than one number.
        """
        weights = {name: weight.at(now.step, now.total_steps) for name, weight in self.weights.items()}
        terms = dict(of_guidance)
        for name, loss in zip(self.names, self._losses, strict=True):
            terms[name] = loss(now) if weights[name] else now.render.opacity.new_zeros(())
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.numel() != 1:
                part = dict(zip(self.names, self.parts(), strict=True)).get(name) or self._of_guidance[0]
                raise part.wrong_result(term, f"forward: one number in a tensor, for losses.{name}")
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return loss, {f"loss/{name}": term.detach() for name, term in terms.items()}


def _fitting(loss: Loss, renderer: Renderer, path: str) -> Loss:
    """The loss, if renderings hold what it needs."""
    lacking = sorted(loss.needs - renderer.gives)
    if lacking:
        raise UserError(
            f"{path}: '{loss.part_name}' needs {' and '.join(lacking)}, which the renderer '{renderer.part_name}' "
            f"does not give{'; use volume' if 'samples' in lacking else ''}"
        )
    return loss
