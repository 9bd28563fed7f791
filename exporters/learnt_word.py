"""`learnt-word`: a word that was learnt from pictures, as a file that prompts can use."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file

from core.files import whole_file
from core.kinds import Exporter, System
from systems.contact_sheet import save_png, tiled
from systems.textual_inversion import TextualInversion

#: Pictures on the sheet in each row.
N_SHOWN = 4


class LearntWordFile(Exporter, name="learnt-word"):
    """The word, learned_embeds.safetensors, for `system.guidance.embeddings` and diffusers; and learned_word.png.

    The sheet shows above the pictures that were given, and below what the model draws for the prompt from four sides.
    """

    takes = TextualInversion
    writes = ("learned_embeds.safetensors", "learned_word.png")

    @dataclass(frozen=True)
    class Config:
        """It has no settings."""

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Write the word under its name; for two text encoders under their names, as trainers do."""
        assert isinstance(system, TextualInversion)  # as `takes` says
        word = system.learner.word
        names = [word.token] if len(word.vectors) == 1 else ["clip_l", "clip_g"]
        path = run_folder / "learned_embeds.safetensors"
        with whole_file(path) as unfinished:
            save_file(dict(zip(names, word.vectors, strict=True)), unfinished)
        given = system.pictures.pictures(system.guidance.picture_size)[:N_SHOWN]
        drawn = system.decode(system.render(system.validation_cameras(N_SHOWN, system.guidance.latent_size)).latents)
        return [path, save_png(run_folder / "learned_word.png", tiled([list(given), list(drawn.cpu())]))]
