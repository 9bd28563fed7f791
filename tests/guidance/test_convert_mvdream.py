"""MVDream's checkpoint as a folder: each of its networks against the same one written out, with random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.random_model import letters_tokenizer
from core.cameras import orbit_cameras
from core.errors import UserError
from guidance.convert_mvdream import convert, main
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from guidance.multi_view_sds import MultiViewSDS
from tests.guidance.mvdream_encoders import VAE, Text
from tests.guidance.mvdream_unet import UNet

LENGTH = 12


class Published:
    """A random checkpoint of the published names, the networks it is of, and the folder it was turned into."""

    def __init__(self, folder: Path) -> None:
        tokenizer = letters_tokenizer(LENGTH)
        tokenizer.save_pretrained(folder / "words")
        torch.manual_seed(0)
        self.unet, self.vae, self.text = UNet().eval(), VAE().eval(), Text(len(tokenizer), LENGTH).eval()
        parts = {
            "model.diffusion_model.": self.unet,
            "first_stage_model.": self.vae,
            "cond_stage_model.model.": self.text,
        }
        self.weights = {prefix + name: w for prefix, part in parts.items() for name, w in part.state_dict().items()}
        # The schedule's numbers, which LDM keeps beside the weights.
        self.weights["betas"] = torch.linspace(0, 1, 1000)
        self.checkpoint, self.words, self.folder = folder / "4view.pt", folder / "words", folder / "model"
        torch.save(self.weights, self.checkpoint)
        convert(self.checkpoint, self.folder, str(self.words))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("mvdream"))


@pytest.fixture(scope="module")
def guidance(published: Published) -> MultiViewSDS:
    made = MultiViewSDS(MultiViewSDS.Config(model=str(published.folder), precision="float32"))
    made.prepare("red")
    return made


@torch.no_grad()
def test_the_denoiser_is_mvdreams(published: Published, guidance: MultiViewSDS):
    """Two objects of four views each, cameras as MVDream is told them: z up, unit distance, OpenGL's axes."""
    same, azimuth = torch.ones(8), torch.arange(8) * 90.0 + 20
    cameras = orbit_cameras(15 * same, azimuth, 1.7 * same, 50 * same, 8, 8)
    rng = torch.Generator().manual_seed(2)
    noisy, t = torch.randn(8, 8, 8, 4, generator=rng), torch.full((8,), 600)
    text = guidance.model.embed_text(["red", "blue"]).select(torch.tensor([0, 1] * 4))
    seen = guidance.model.predict(noisy, t, text, cameras)

    up, poses = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), cameras.c2w.clone()
    poses[:, :3, 3] /= 1.7
    expected = published.unet(noisy.movedim(-1, 1), t, text.tokens, (up @ poses).flatten(1), 4).movedim(1, -1)
    torch.testing.assert_close(seen, expected, rtol=1e-3, atol=1e-4)
    apart = published.unet(noisy.movedim(-1, 1), t, text.tokens, (up @ poses).flatten(1), 1).movedim(1, -1)
    assert (apart - expected).abs().max() > 1e-2, "views that do not look at each other answer otherwise"


@torch.no_grad()
def test_the_autoencoder_is_mvdreams(published: Published, guidance: MultiViewSDS):
    rng = torch.Generator().manual_seed(2)
    rgb, latents = torch.rand(2, 16, 16, 3, generator=rng), torch.randn(2, 8, 8, 4, generator=rng)
    encoded = 0.18215 * published.vae.latents(2 * rgb.movedim(-1, 1) - 1).movedim(1, -1)
    torch.testing.assert_close(guidance.encode(rgb), encoded, rtol=1e-3, atol=1e-4)
    decoded = published.vae.picture(latents.movedim(-1, 1) / 0.18215).movedim(1, -1)
    torch.testing.assert_close(guidance.decode(latents), ((decoded + 1) / 2).clamp(0, 1), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_texts_are_filled_up_and_read_as_open_clip_does(published: Published, guidance: MultiViewSDS):
    """Penultimate block, then the last norm; behind the end of the text stands token 0."""
    words: Any = letters_tokenizer(LENGTH)
    read = words("red").input_ids
    tokens = torch.tensor([read + [0] * (LENGTH - len(read))])
    seen = guidance.model.embed_text(["red"]).tokens
    torch.testing.assert_close(seen, published.text(tokens), rtol=1e-3, atol=1e-4)


def test_the_folder_says_how_cameras_are_told(published: Published, guidance: MultiViewSDS):
    said = json.loads((published.folder / "cameras.json").read_text())
    assert said == {"n_together": 4, "ray_maps": False, "pose": True, "up_axis": "z"}
    assert guidance.view_needs.n_together == 4
    assert guidance.latent_size == 32
    with pytest.raises(UserError, match=r"wants to be told cameras.*\{type: multi-view-sds\}"):
        LatentDiffusion(find_model(str(published.folder)))


def test_the_noise_schedule_is_stable_diffusions(guidance: MultiViewSDS):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    torch.testing.assert_close(guidance.model.alpha, (1 - betas).cumprod(0).sqrt().float())
    assert guidance.model.family == "epsilon"


def test_a_checkpoint_with_its_training_state_around_it_is_read(published: Published, tmp_path: Path):
    torch.save({"state_dict": published.weights, "global_step": 3}, tmp_path / "nested.pt")
    convert(tmp_path / "nested.pt", tmp_path / "model", str(published.words))
    assert find_model(str(tmp_path / "model")).has("unet")


def _run(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def test_a_checkpoint_that_could_run_code_is_not_unpickled(tmp_path: Path, published: Published, capsys: Any):
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model.diffusion_model.x": Trap()}, tmp_path / "trap.pt")
    code, said = _run(capsys, tmp_path / "trap.pt", tmp_path / "out", "--tokenizer", published.words)
    assert code == 2
    assert said.startswith(f"error: {tmp_path / 'trap.pt'}: cannot be read as weights alone")
    assert said.count("\n") == 1
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def _without(weights: dict[str, Tensor], word: str) -> dict[str, Tensor]:
    return {name: weight for name, weight in weights.items() if word not in name}


@pytest.mark.parametrize("word", ["camera_embed", "first_stage_model", "resblocks.1.mlp", "middle_block.1.norm"])
def test_a_checkpoint_that_lacks_something_is_refused(word: str, published: Published, tmp_path: Path, capsys: Any):
    torch.save(_without(published.weights, word), tmp_path / "less.pt")
    code, said = _run(capsys, tmp_path / "less.pt", tmp_path / "out", "--tokenizer", published.words)
    assert (code, said.count("\n")) == (2, 1)
    assert "less.pt: not MVDream's checkpoint of Stable Diffusion 2.1: " in said
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_said_before_anything_is_read(published: Published, tmp_path: Path, capsys: Any):
    (tmp_path / "there").mkdir()
    code, said = _run(capsys, published.checkpoint, tmp_path / "there", "--tokenizer", published.words)
    assert (code, said) == (2, f"error: {tmp_path / 'there'}: is there already; name a new folder\n")
    code, said = _run(capsys, published.checkpoint, tmp_path / "out", "--tokenizer", tmp_path / "nowhere")
    assert code == 2
    assert "--tokenizer: " in said
    assert "tokenizer/ of any Stable Diffusion will do" in said
    code, said = _run(capsys, tmp_path / "no.pt", tmp_path / "out", "--tokenizer", published.words)
    assert said.endswith("no.pt: no such file; MVDream's is called sd-v2.1-base-4view.pt\n")
