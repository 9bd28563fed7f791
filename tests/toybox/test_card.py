"""The model card: its own example runs as it stands, and its sentences follow from figures."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from toybox.captions import Subject, subjects
from toybox.card import CARD, judge_steps
from toybox.world import load_world

ROOT = Path(__file__).parents[2]

# what a machine without a network does at the first attempt to reach it
NO_NETWORK = """
import socket

def refuse(*_):
    raise OSError("no network in this test")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def test_example_of_the_card_draws_without_a_network(tmp_path):
    (snippet,) = re.findall(r"```python\n(.*?)```", CARD.read_text(), re.DOTALL)
    assert 'from_pretrained("toybox/model")' in snippet
    assert "num_inference_steps=25" in snippet
    (tmp_path / "toybox").symlink_to(ROOT / "toybox")
    script = NO_NETWORK + snippet.replace("num_inference_steps=25", "num_inference_steps=2")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    picture = Image.open(tmp_path / "chair.png")
    assert picture.size == (128, 128)
    assert np.ptp(np.asarray(picture.convert("L"), dtype=int)) > 30  # there is something on it


def test_card_counts_what_is_held_out():
    text = " ".join(CARD.read_text().split())
    (stated,) = re.findall(r"In all, ([\d.]+)% of the triples never occurred", text)
    world = load_world()
    triples = [Subject(*names) for names in itertools.product(world.kinds, world.colours, world.colours)]
    triples = [subject for subject in triples if subject.main != subject.second]
    missing = len(set(triples) - set(subjects(seen=True)))
    assert float(stated) == round(100 * missing / len(triples), 1)


def test_the_judges_steps_are_those_of_all_its_trainings():
    parts = [(0, 4500), (4500, 9000), (4800, 6600), (0, 6000), (1400, 2600)]
    history = [{"from_step": begin, "settings": {"steps": end}} for begin, end in parts]
    assert judge_steps({"history": history}) == 6600 + 2600
