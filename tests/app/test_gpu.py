"""What runs on a CPU runs on a GPU and comes to the same: fields, pictures, gradients, scores, whole commands."""

import copy
import csv
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.cli import main
from benchmarks.random_model import random_stable_diffusion
from core.cameras import orbit_cameras
from core.types import Cameras
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from renderers.rasterize import RayCaster
from systems.checkpoint_files import read_checkpoint
from systems.latent_nerf import LatentNeRF
from tests.renderers.meshes import bumpy_ball
from tests.renderers.test_rasterize_nvdiffrast import assert_same
from tests.systems.small_systems import ball_pictures, fitting_system

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

#: What makes the toybox recipes short.
SHORT = ["trainer.max_steps=40", "trainer.preview_every=20", "trainer.checkpoint_every=20", "--device", "cuda"]
RECIPES = {
    "latent-nerf": ["a red mushroom"],
    "sketch-shape": ["a blue chair", "system.losses.sketch.path=sketches/chair.obj"],
    "latent-paint": ["a green chair", "system.geometry.path=sketches/chair.obj"],
}


def views(size: int, device: str) -> Cameras:
    angles = torch.tensor([10.0, 70.0, 200.0])
    return orbit_cameras(angles / 5, angles, torch.full((3,), 1.8), torch.full((3,), 40.0), size, size).to(device)


def trained(steps: int = 30) -> LatentNeRF:
    """A small field that has seen a ball for some steps."""
    system = fitting_system(steps)
    system.set_up()
    optimizer = system.configure_optimizers()["optimizer"]
    for step in range(steps):
        rng = torch.Generator().manual_seed(step)
        loss, _ = system.compute_loss(step, rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return system


def test_a_field_shows_the_same_pictures_on_both_devices() -> None:
    here = trained()
    there = copy.deepcopy(here).cuda()
    cpu, gpu = here.render(views(24, "cpu"), with_normals=True), there.render(views(24, "cuda"), with_normals=True)
    assert 0.05 < cpu.opacity.mean() < 0.9
    for name in ("latents", "opacity", "depth", "normals"):
        torch.testing.assert_close(getattr(gpu, name).cpu(), getattr(cpu, name), rtol=1e-3, atol=1e-3)


def _gradients(system: LatentNeRF, device: str) -> dict[str, Tensor]:
    system.eval()  # samples in the middle of their intervals
    cameras = views(16, device)
    output = system.renderer(system.geometry, system.background, cameras, torch.Generator(device).manual_seed(0))
    (output.latents - ball_pictures(cameras.to("cpu")).to(device)).square().mean().backward()
    return {name: each.grad.cpu() for name, each in system.named_parameters() if each.grad is not None}


def test_a_field_gets_the_same_gradients_on_both_devices() -> None:
    here = trained()
    here.zero_grad()
    there = copy.deepcopy(here).cuda()
    expected, found = _gradients(here, "cpu"), _gradients(there, "cuda")
    assert expected.keys() == found.keys() != set()
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm() / gradient.norm().clamp_min(1e-12)
        assert error < 1e-3, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float16, 2e-2)])
def test_the_toyboxs_score_and_pictures_are_the_same_on_both_devices(dtype: torch.dtype, tolerance: float) -> None:
    answers = []
    for device, weights in (("cpu", torch.float32), ("cuda", dtype)):
        model = LatentDiffusion(find_model("toybox")).to(device)
        model.use_precision(weights)
        rng = torch.Generator().manual_seed(0)
        noisy = torch.randn(2, model.latent_size, model.latent_size, model.autoencoder.n_channels, generator=rng)
        text = model.embed_text(["a red mushroom", "a blue chair, back view"]).select(torch.arange(2, device=device))
        score = model.predict(noisy.to(device), torch.tensor([300, 900], device=device), text)
        with torch.no_grad():
            pictures = model.autoencoder.decode(noisy.to(device))
        answers.append((score.cpu(), pictures.cpu()))
    for found, expected in zip(answers[1], answers[0], strict=True):
        assert (found - expected).norm() / expected.norm() < tolerance


def test_the_ray_caster_answers_cameras_of_a_gpu() -> None:
    caster = RayCaster(*bumpy_ball())
    found = caster(views(24, "cuda"))
    assert found.face.is_cuda
    assert_same(found.to("cpu"), caster(views(24, "cpu")))


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_method_trains_exports_and_opens_on_a_cpu_again(recipe: str, tmp_path: Path) -> None:
    prompt, *overrides = RECIPES[recipe]
    config = str(ROOT / "configs" / f"{recipe}.yaml")
    overrides = [each.replace("sketches/", f"{ROOT}/sketches/") for each in overrides]
    assert main(["--config", config, "--prompt", prompt, "--out", str(tmp_path), *SHORT, *overrides]) == 0
    (run,) = tmp_path.iterdir()
    mesh = "mesh.obj" if recipe == "latent-paint" else "mesh.glb"  # painted meshes keep their format
    for name in (mesh, "contact_sheet.png", "report.html", "previews/step-000020.png"):
        assert (run / name).stat().st_size > 0, name
    with (run / "metrics.csv").open() as rows:
        losses = [float(row["loss"]) for row in csv.DictReader(rows)]
    assert losses
    assert all(math.isfinite(each) for each in losses)
    assert main(["--validate", str(run), "--device", "cpu"]) == 0


def test_a_stopped_training_goes_on_on_a_gpu(tmp_path: Path) -> None:
    command = ["--config", str(ROOT / "configs" / "latent-nerf.yaml"), "--prompt", "a red mushroom"]
    command += ["--out", str(tmp_path), "--device", "cuda", "exporters=[]", "trainer.checkpoint_every=5"]
    assert main([*command, "trainer.max_steps=10"]) == 0
    (run,) = tmp_path.iterdir()
    assert main(["--resume", str(run), "--device", "cuda", "trainer.max_steps=20"]) == 0
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 20


def test_stable_diffusions_recipe_trains_in_mixed_precision(tmp_path: Path) -> None:
    """Its widths and latents are the real ones, its weights are drawn by chance."""
    model = random_stable_diffusion(tmp_path / "model")
    config = str(ROOT / "configs" / "latent-nerf-sd.yaml")
    command = ["--config", config, "--prompt", "a hamburger", "--out", str(tmp_path / "runs"), "--device", "cuda"]
    command += ["trainer.max_steps=20", "exporters=[]", f"system.guidance.model={model}"]
    assert main(command) == 0
    (run,) = (tmp_path / "runs").iterdir()
    saved = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert saved["global_step"] == 20
    weights = [each for name, each in saved["state_dict"].items() if name.startswith("geometry")]
    assert all(bool(each.isfinite().all()) for each in weights)
