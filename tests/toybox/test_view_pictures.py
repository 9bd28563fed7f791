"""Pictures of a denoiser whose answers are known in closed form."""

import torch

from toybox.buffers import View
from toybox.latents import decode
from toybox.networks import new_scheduler
from toybox.view_denoiser import ViewDenoiser
from toybox.view_pictures import drawn_views, mean_pictures

SIZE = 8
SHORT = 6e-2  # what the schedule leaves of the noise, seen through the decoder
VIEWS = [View(0.0, azimuth, 1.6, 47.0) for azimuth in (0.0, 90.0, 180.0)]


class Certain(ViewDenoiser):
    """Knows one latent map per view, z = azimuth's sine everywhere, and none without a caption (z = 0)."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.views = []

    def forward(self, noisy, timestep, captions, told, views=1):
        self.views.append(views)
        signal = new_scheduler().alphas_cumprod[timestep][:, None, None, None]
        given = torch.tensor([bool(caption) for caption in captions])[:, None, None, None]
        z = told.poses.view(-1, 4, 4)[:, 0, 2][:, None, None, None] * given
        return (signal.sqrt() * noisy - z) / (1 - signal).sqrt()


def _flat(vae, values: list[float]) -> torch.Tensor:
    return decode(vae, torch.tensor(values)[:, None, None, None].expand(-1, 4, SIZE, SIZE).contiguous())


def test_the_mean_picture_is_what_is_known_without_a_sight(vae):
    made = mean_pictures(Certain(), vae, ["a red car"] * 3, VIEWS, SIZE)
    torch.testing.assert_close(made, _flat(vae, [0.0, 1.0, 0.0]), atol=1e-4, rtol=1e-4)


def test_drawing_arrives_at_what_is_certain_and_guidance_goes_beyond(vae):
    denoiser = Certain()
    texts = ["a red car", "a blue mug"]
    plain = drawn_views(denoiser, vae, texts, [VIEWS, VIEWS[::-1]], SIZE, seeds=[1, 2], guidance=1.0)
    assert set(denoiser.views) == {3}
    truth = _flat(vae, [0.0, 1.0, 0.0]).clamp(0, 1)
    torch.testing.assert_close(
        plain, torch.stack([truth, truth]), atol=6e-2, rtol=0
    )  # the schedule stops just short of no noise
    guided = drawn_views(Certain(), vae, texts, [VIEWS, VIEWS], SIZE, seeds=[1, 2], guidance=2.0)
    torch.testing.assert_close(
        guided[0], _flat(vae, [0.0, 2.0, 0.0]).clamp(0, 1), atol=6e-2, rtol=0
    )  # the schedule stops just short of no noise


def test_an_object_depends_on_its_own_seed_alone(vae):
    class Halving(Certain):
        def forward(self, noisy, timestep, captions, told, views=1):
            return 0.5 * noisy

    both = drawn_views(Halving(), vae, ["a", "b"], [VIEWS, VIEWS], SIZE, seeds=[1, 2])
    alone = drawn_views(Halving(), vae, ["b"], [VIEWS], SIZE, seeds=[2])
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-5)
    assert not torch.equal(both[0], both[1])
