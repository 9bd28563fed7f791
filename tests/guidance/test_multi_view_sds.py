"""`multi-view-sds`: each of its losses against the formula, with the network asked text by text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.cameras import orbit_cameras
from core.errors import UserError
from core.schedule import Schedule
from core.types import Cameras, RenderOutput
from guidance import multi_view_sds
from guidance.latent_diffusion import LatentDiffusion
from guidance.latent_sds import LatentSDS
from guidance.model_source import find_model
from guidance.multi_view_sds import MultiViewSDS
from guidance.noise_schedule import noise_from_output, picture_from_output
from tests.guidance.hub_stand_in import HUB_ID, cached
from tests.tiny_pipelines import make_tiny_model
from tests.told_models import make_told_model

CONSTANT = Schedule.constant


@pytest.fixture(scope="module")
def told_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    made: dict[Any, Path] = {}

    def model(**settings: Any) -> Path:
        key = tuple(sorted(settings.items()))
        if key not in made:
            made[key] = make_told_model(tmp_path_factory.mktemp("told"), **settings)
        return made[key]

    return model


def _guidance(folder: Path, **settings: Any) -> MultiViewSDS:
    config = {"model": str(folder), "precision": "float32", "max_noise": CONSTANT(0.9), **settings}
    guidance = MultiViewSDS(MultiViewSDS.Config(**config))
    guidance.prepare("red")
    return guidance


def _cameras(n_views: int, turned_deg: float = 0.0) -> Cameras:
    azimuth = torch.arange(n_views) * 90.0 + turned_deg
    same = torch.ones(n_views)
    return orbit_cameras(15 * same, azimuth, 1.5 * same, 50 * same, 8, 8)


def _render(n_views: int) -> RenderOutput:
    latents = torch.randn(n_views, 8, 8, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    flat = torch.zeros(n_views, 8, 8)
    return RenderOutput(latents, flat, flat, None, torch.zeros_like(latents), None)


def _gradient(guidance: MultiViewSDS, render: RenderOutput, cameras: Cameras, seed: int = 11) -> Tensor:
    loss = guidance(render, cameras, 0, 10, torch.Generator().manual_seed(seed)).loss
    return torch.autograd.grad(loss, render.latents)[0]


def _drawn(guidance: MultiViewSDS, n_objects: int, n_views: int, floor: float = 0.02) -> tuple[Tensor, Tensor]:
    """Timesteps and noise of the step, drawn again."""
    rng = torch.Generator().manual_seed(11)
    t = ((floor + (0.9 - floor) * torch.rand(n_objects, generator=rng)) * guidance.model.n_timesteps).long()
    return t.repeat_interleave(n_views // n_objects), torch.randn(n_views, 8, 8, 4, generator=rng)


@pytest.mark.parametrize("family", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_sds_of_two_objects_is_the_formula_written_out(
    family: Any, share: float, told_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    guidance = _guidance(told_model(family=family), guidance_scale=CONSTANT(7.0), guidance_rescale=CONSTANT(share))
    render, cameras, model = _render(8), _cameras(8), guidance.model
    seen = _gradient(guidance, render, cameras)
    t, noise = _drawn(guidance, 2, 8)
    for views in (slice(0, 4), slice(4, 8)):
        alpha, sigma = model.alpha[t[views.start]], model.sigma[t[views.start]]
        noisy = (alpha * render.latents[views] + sigma * noise[views]).detach()
        without, text = (
            model.predict(noisy, t[views], model.embed_text([words] * 4), cameras[views]) for words in ("", "red")
        )
        guided = without + 7 * (text - without)
        z, z_text = ((noisy - sigma * eps) / alpha for eps in (guided, text))
        z = z * (share * z_text.std() / z.std() + 1 - share)  # over all four views
        expected = sigma**2 * ((noisy - alpha * z) / sigma - noise[views]) / (8 * 8 * 8)
        torch.testing.assert_close(seen[views], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", ["epsilon", "v_prediction"])
def test_reconstruction_pulls_towards_the_guided_picture(family: Any, told_model: Callable[..., Path]):
    guidance = _guidance(
        told_model(family=family),
        loss="reconstruction",
        weighting="uniform",
        guidance_scale=CONSTANT(50.0),
        guidance_rescale=CONSTANT(0.5),
    )
    render, cameras, model = _render(4), _cameras(4), guidance.model
    loss = guidance(render, cameras, 0, 10, torch.Generator().manual_seed(11)).loss
    t, noise = _drawn(guidance, 1, 4)
    alpha, sigma = model.alpha[t[0]], model.sigma[t[0]]
    noisy = (alpha * render.latents + sigma * noise).detach()
    without, text = (model.predict(noisy, t, model.embed_text([words] * 4), cameras) for words in ("", "red"))
    z, z_text = ((noisy - sigma * eps) / alpha for eps in (without + 50 * (text - without), text))
    z = 0.5 * z * z_text.std() / z.std() + 0.5 * z
    expected = 0.5 * (render.latents - z).square().sum() / (4 * 8 * 8)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["epsilon", "v_prediction"])
def test_a_picture_is_denoised_in_several_steps_of_ddim(family: Any, told_model: Callable[..., Path]):
    """x' = (alpha' / alpha) (x - sigma eps_hat) + sigma' eps_hat, written out with the guided noise."""
    guidance = _guidance(
        told_model(family=family), loss="reconstruction", denoising_steps=3, guidance_scale=CONSTANT(4.0)
    )
    render, cameras, model = _render(4), _cameras(4), guidance.model
    seen = _gradient(guidance, render, cameras)
    t, x = _drawn(guidance, 1, 4)
    times = [int(t[0]), int(t[0]) * 2 // 3, int(t[0]) // 3]
    weight = model.sigma[times[0]] ** 2
    x = model.alpha[times[0]] * render.latents.detach() + model.sigma[times[0]] * x
    for here, there in zip(times, [*times[1:], None], strict=True):
        asked = (
            model.predict(x, torch.full((4,), here), model.embed_text([words] * 4), cameras) for words in ("", "red")
        )
        without, text = asked
        eps = without + 4 * (text - without)
        z = (x - model.sigma[here] * eps) / model.alpha[here]
        x = z if there is None else model.alpha[there] * z + model.sigma[there] * eps
    expected = weight * (render.latents.detach() - x) / (4 * 8 * 8)
    torch.testing.assert_close(seen, expected, rtol=1e-3, atol=1e-4)


def test_several_steps_follow_one_picture_and_the_denoiser_rests(
    told_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    """Also from a checkpoint; but not from other cameras, nor in another size."""
    settings: dict[str, Any] = {"loss": "reconstruction", "fits": 3, "weighting": "uniform"}
    guidance, cameras = _guidance(told_model(), **settings), _cameras(4)
    asked: list[int] = []
    answers = MultiViewSDS.answers

    def counted(self: MultiViewSDS, *arguments: Any, **named: Any) -> Any:
        asked.append(1)
        return answers(self, *arguments, **named)

    monkeypatch.setattr(MultiViewSDS, "answers", counted)

    def wanted(guidance: MultiViewSDS, step: int, cameras: Cameras, size: int = 8) -> Tensor:
        latents = torch.randn(4, size, size, 4, generator=torch.Generator().manual_seed(step)).requires_grad_()
        flat = torch.zeros(4, size, size)
        render = RenderOutput(latents, flat, flat, None, torch.zeros_like(latents), None)
        loss = guidance(render, cameras.resized(size, size), step, 10, torch.Generator().manual_seed(step)).loss
        return latents.detach() - 4 * size * size * torch.autograd.grad(loss, latents)[0]

    first = wanted(guidance, 0, cameras)
    torch.testing.assert_close(wanted(guidance, 1, cameras), first)
    other = _guidance(told_model(), **settings)
    other.load_state_dict(guidance.state_dict())
    torch.testing.assert_close(wanted(other, 2, cameras), first)
    assert len(asked) == 1
    assert not torch.allclose(wanted(other, 2, _cameras(4, 20.0)), first)
    wanted(guidance, 2, cameras, size=16)
    assert not torch.allclose(wanted(guidance, 3, cameras), first)
    assert len(asked) == 4


def test_only_what_follows_pictures_keeps_them_with_checkpoints(told_model: Callable[..., Path]):
    """And either kind goes on with the other's."""
    plain = _guidance(told_model())
    following = _guidance(told_model(), loss="reconstruction", fits=3)
    following(_render(4), _cameras(4), 0, 10, torch.Generator().manual_seed(0))
    assert [name for name in plain.state_dict() if "wanted" in name] == []
    plain.load_state_dict(following.state_dict())
    following.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("name", ["fits", "denoising_steps"])
def test_more_than_one_fit_needs_reconstruction(name: str):
    settings: dict[str, Any] = {"model": "x", name: 2}
    with pytest.raises(UserError, match=f"{name}: more than 1 needs loss: reconstruction"):
        MultiViewSDS.Config(**settings)
    with pytest.raises(UserError, match=f"{name}: from 1 to 1000, got 0"):
        MultiViewSDS.Config(**{**settings, "loss": "reconstruction", name: 0})


def test_reconstruction_is_normalised_and_shortened_too(told_model: Callable[..., Path]):
    """Over all four views, and pixel by pixel, as of any other loss."""
    folder = told_model()
    plain = _gradient(_guidance(folder, loss="reconstruction"), _render(4), _cameras(4)) * 4 * 8 * 8
    bounded = _guidance(folder, loss="reconstruction", normalize=True, gradient_limit=CONSTANT(1.5))
    seen = _gradient(bounded, _render(4), _cameras(4)) * 4 * 8 * 8
    unit = plain / plain.square().mean().sqrt()
    length = unit.norm(dim=-1, keepdim=True)
    assert (length > 1.5).any()
    torch.testing.assert_close(seen, unit * (1.5 / length).clamp(max=1), rtol=1e-3, atol=1e-5)


def test_reconstruction_is_sound_where_nothing_of_the_picture_is_left(told_model: Callable[..., Path]):
    """At alpha = 0 a v-network still says the picture: z_hat = -v, and the loss is finite."""
    folder = told_model(family="v_prediction")
    guidance = _guidance(folder, loss="reconstruction", guidance_scale=CONSTANT(1.0), weighting="uniform")
    guidance.model.alpha.zero_()
    guidance.model.sigma.fill_(1)
    render, cameras, model = _render(4), _cameras(4), guidance.model
    seen = _gradient(guidance, render, cameras)
    t, noise = _drawn(guidance, 1, 4)
    unet: Any = model.denoiser
    told = model._cameras.tell(cameras, 8) if model._cameras else None
    assert told is not None
    assert told.rays is not None
    with torch.no_grad():
        channels = torch.cat([noise.movedim(-1, 1), told.rays], dim=1)
        words = model.embed_text(["red"] * 4).tokens
        v = unet(channels, t, encoder_hidden_states=words, class_labels=told.poses).sample.movedim(1, -1)
    torch.testing.assert_close(seen, (render.latents + v).detach() / (4 * 8 * 8), rtol=1e-3, atol=1e-5)


def test_a_noise_network_without_picture_at_the_end_is_refused_for_reconstruction(tmp_path: Path):
    folder = make_told_model(tmp_path, family="epsilon", scheduler={"rescale_betas_zero_snr": True})
    assert _guidance(folder, loss="sds").part_name == "multi-view-sds"
    with pytest.raises(UserError, match=r"loss: .* predicts noise, and its noise schedule ends in noise alone.*sds"):
        _guidance(folder, loss="reconstruction")


def test_an_objects_views_share_the_timestep_and_objects_do_not(told_model: Callable[..., Path]):
    guidance = _guidance(told_model())
    timestep = guidance.draw_noise(_render(16).latents, 0, 10, torch.Generator().manual_seed(0)).timestep
    objects = timestep.view(4, 4)
    assert (objects == objects[:, :1]).all()
    assert len(set(objects[:, 0].tolist())) > 1


def test_texts_name_no_view(told_model: Callable[..., Path]):
    assert set(_guidance(told_model()).texts("red")) == {"red", ""}
    assert "red, back view" in _guidance(told_model(), view_dependent=True).texts("red")


@pytest.mark.parametrize(("ray_maps", "pose"), [(True, False), (False, True), (True, True)])
def test_cameras_are_told_to_both_texts(ray_maps: bool, pose: bool, told_model: Callable[..., Path]):
    """Turning all cameras together changes the answer to the prompt as well as the unconditional one."""
    for scale in (1.0, 0.0):  # the text alone, the unconditional answer alone
        guidance = _guidance(told_model(ray_maps=ray_maps, pose=pose), guidance_scale=CONSTANT(scale))
        here, turned = (_gradient(guidance, _render(4), _cameras(4, angle)) for angle in (0.0, 30.0))
        assert (here - turned).norm() > 1e-3 * here.norm()


def test_without_cameras_zeros_are_told(told_model: Callable[..., Path]):
    """A camera at the origin, were there such a one, would not be told as zeros: only what is not said is."""
    model = _guidance(told_model()).model
    noisy, t, text = torch.randn(4, 8, 8, 4), torch.full((4,), 300), model.embed_text(["red"] * 4)
    unet: Any = model.denoiser
    with torch.no_grad():
        output = unet(
            torch.cat([noisy.movedim(-1, 1), torch.zeros(4, 6, 8, 8)], dim=1),
            t,
            encoder_hidden_states=text.tokens,
            class_labels=torch.zeros(4, 16),
        ).sample.movedim(1, -1)
    alpha, sigma = model.alpha[300], model.sigma[300]
    torch.testing.assert_close(model.predict(noisy, t, text), alpha * output + sigma * noisy, rtol=1e-4, atol=1e-5)


def test_needs_come_from_the_folder(told_model: Callable[..., Path]):
    assert _guidance(told_model()).view_needs.n_together == 4
    assert _guidance(told_model(n_together=3)).view_needs.n_together == 3


def test_a_model_that_knows_no_cameras_is_refused(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    said = r"model: .* says nothing of cameras .*cameras\.json.*guidance \{type: latent-sds\} and views \{type: orbit\}"
    with pytest.raises(UserError, match=said) as caught:
        _guidance(folder)
    root = Path(multi_view_sds.__file__).parents[1]
    named = [word for word in str(caught.value).split() if word.endswith(".yaml")]
    assert len(named) == 2
    assert all((root / name).is_file() for name in named)


def test_a_model_of_the_hub_is_refused_with_what_to_do(
    told_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached(told_model(), tmp_path)
    said = f"^model: '{HUB_ID}' is on the hub; give a folder with cameras.json, after `hf download {HUB_ID} --local-dir"
    with pytest.raises(UserError, match=said):
        MultiViewSDS(MultiViewSDS.Config(model=HUB_ID))


@pytest.mark.parametrize(("ray_maps", "pose"), [(True, False), (False, True)])
def test_plain_guidance_refuses_a_model_that_is_told_cameras(
    ray_maps: bool, pose: bool, told_model: Callable[..., Path]
):
    folder = told_model(ray_maps=ray_maps, pose=pose)
    with pytest.raises(UserError, match=r"wants to be told cameras, .*\{type: multi-view-sds\}.*\{type: multi-view\}"):
        LatentSDS(LatentSDS.Config(model=str(folder)))


@pytest.mark.parametrize(
    ("made", "said", "fault"),
    [
        ({"pose": False}, '"pose": true', "says pose: true, .* class_embed_type: None .*goes with projection of 16"),
        ({"pose": True}, '"pose": false', "says pose: false, .* class_embed_type: projection of 16 numbers"),
        ({"ray_maps": False}, '"ray_maps": true', "takes 4 channels; 4 of its VAE and 6 of ray maps.* are 10"),
        ({"ray_maps": True}, '"ray_maps": false', "its denoiser takes 10 channels and its VAE gives 4"),
    ],
)
def test_a_folder_that_says_something_else_than_its_denoiser_is_refused(
    made: dict[str, Any], said: str, fault: str, tmp_path: Path
):
    path = make_told_model(tmp_path, **made) / "cameras.json"
    before = said.replace("true", "-") if "true" in said else said.replace("false", "true")
    before = before.replace("-", "false")
    path.write_text(path.read_text().replace(before, said))
    with pytest.raises(UserError, match=fault):
        _guidance(tmp_path)


def test_a_transformer_cannot_be_told_cameras(tmp_path: Path):
    folder = make_tiny_model(tmp_path, "flow", "sd3")
    (folder / "cameras.json").write_text('{"n_together": 2, "ray_maps": true, "pose": false, "up_axis": "y"}')
    with pytest.raises(UserError, match="its denoiser is no UNet2DConditionModel"):
        _guidance(folder)


def test_other_sizes_of_latents_are_told_their_own_rays(told_model: Callable[..., Path]):
    model = _guidance(told_model()).model
    assert (model.latent_size, model.size_step) == (8, 2)
    text = model.embed_text(["red"] * 4)
    assert model.predict(torch.randn(4, 4, 4, 4), torch.full((4,), 9), text, _cameras(4)).shape == (4, 4, 4, 4)


def test_the_picture_is_the_noise_taken_away():
    """z_hat = (x_t - sigma eps_hat) / alpha for every family, by way of the noise that each one predicts."""
    rng = torch.Generator().manual_seed(0)
    noisy, output = (torch.randn(3, 2, 2, 4, generator=rng) for _ in range(2))
    for family in ("epsilon", "v_prediction", "flow"):
        sigma = torch.tensor([0.1, 0.5, 0.9])
        alpha = 1 - sigma if family == "flow" else (1 - sigma**2).sqrt()
        eps = noise_from_output(family, output, noisy, alpha, sigma)
        expected = (noisy - sigma.view(3, 1, 1, 1) * eps) / alpha.view(3, 1, 1, 1)
        torch.testing.assert_close(picture_from_output(family, output, noisy, alpha, sigma), expected)


def test_the_model_says_how_it_is_read(told_model: Callable[..., Path]):
    """The gate lets a plain model pass as before, and a told one only with its conditioning."""
    with pytest.raises(UserError, match="wants to be told cameras"):
        LatentDiffusion(find_model(str(told_model())))


def test_with_less_memory_views_of_an_object_are_still_seen_together(told_model: Callable[..., Path]):
    guidance, render, cameras = _guidance(told_model()), _render(8), _cameras(8)
    together = _gradient(guidance, render, cameras)
    assert guidance.take_less_memory()
    torch.testing.assert_close(_gradient(guidance, render, cameras), together, rtol=1e-4, atol=1e-6)
