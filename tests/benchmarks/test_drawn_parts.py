"""The benchmark of parts that the model draws itself: what it counts is what the pictures show."""

import torch

from benchmarks.canonical import canonical_views
from benchmarks.drawn_parts import model_pipeline, picture_size, redrawn
from benchmarks.part_colours import part_colours
from benchmarks.verdicts import judged_cameras
from toybox.captions import Subject


def test_little_noise_gives_the_true_parts_back_and_much_noise_the_models_own_idea():
    subject, pipeline = Subject("car", "red"), model_pipeline("cpu")
    cameras = judged_cameras(picture_size(pipeline)).chosen(torch.tensor([1, 3, 5, 7]))
    true, _ = canonical_views(subject, cameras)
    prompts = ["a red car"] * len(cameras)
    little, much = (redrawn(pipeline, true, prompts, share, seed=0) for share in (0.1, 0.8))
    assert little.shape == true.shape
    parts = part_colours(subject, cameras, little)
    assert parts.n_fixed_right == parts.n_fixed == 9
    assert parts.main_distance < 0.05
    assert (much - true).abs().mean() > 3 * (little - true).abs().mean()
