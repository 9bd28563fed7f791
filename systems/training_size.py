"""At which size a training renders and guides: the model's own, or coarse to fine, growing over its steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UserError
from core.kinds import Guidance
from core.memory import SAMPLE, require_memory
from core.schedule import Schedule


@dataclass(frozen=True)
class TrainingSize:
    """Height and width of training pictures, in latents, brought to what a denoiser can take."""

    schedule: Schedule
    step: int
    """All sizes are multiples of it."""

    @classmethod
    def of(cls, schedule: Schedule | None, guidance: Guidance, path: str) -> "TrainingSize":
        """The sizes that a recipe's `latent_size` asks for; None asks for the model's own.

        Args:
            path: where the recipe says it, for the errors.

        Raises:
            UserError: the guidance works at one size alone, or not at these.
        """
        step, most = guidance.size_step, guidance.latent_size
        require_memory(guidance.recipe_path or "guidance", f"a view of {most} x {most} latents", SAMPLE * most**2)
        if schedule is None:
            return cls(Schedule.constant(float(most)), most)
        if step is None:
            raise UserError(f"{path}: '{guidance.part_name}' works at {most} alone; leave it out")
        low, high = min(schedule.values), max(schedule.values)
        if low < step or high > most:
            raise UserError(f"{path}: from {step} to the model's own {most}, got {low:g} to {high:g}")
        return cls(schedule, step)

    def at(self, step: int, total_steps: int) -> int:
        """The size at an optimiser step."""
        return self._rounded(self.schedule.at(step, total_steps))

    def further_pictures(self, guidance: Guidance) -> Sequence[int]:
        """Sizes, in pixels, of the pictures that latents stand for when they are not of the model's own size."""
        low, high = (self._rounded(bound(self.schedule.values)) for bound in (min, max))
        whole = guidance.latent_size
        sizes = [size for size in range(low, high + 1, self.step) if size != whole]
        return [guidance.picture_size * size // whole for size in sizes]

    def _rounded(self, size: float) -> int:
        return self.step * max(1, round(size / self.step))
