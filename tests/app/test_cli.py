"""The command line: raw prompts, clear faults, and an answer to --help before torch is imported."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cli import main
from app.options import parse
from core.errors import UserError

ROOT = Path(__file__).parents[2]


def test_help_answers_at_once_and_without_torch() -> None:
    probe = (
        "import sys, runpy\nsys.argv = ['launch.py', '--help']\n"
        "try:\n    runpy.run_path('launch.py', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    assert "--show-recipe" in done.stdout
    assert "exit codes" in done.stdout
    assert seconds < 3.0  # 0.1 s on an idle machine; importing torch alone takes longer than this on a busy one


@pytest.mark.parametrize(
    "prompt",
    [
        "robot: the movie",
        "[red] dragon",
        "50% off #1",
        """a "quoted" 'cat'""",
        "a 🍄 in the ☔",
        "--train",
        "-5 degrees",
        "a=b.c=d",
        "${oc.env:HOME} {x}",
        "???",
        "  two  spaces\nand lines\r\n",
        "x" * 500,
    ],
)
def test_a_prompt_is_raw_text(prompt: str) -> None:
    options = parse(["--config", "r.yaml", "--prompt", prompt, "seed=3"])
    assert options.prompt == prompt
    assert options.overrides == ["seed=3"]
    assert not options.train


def test_overrides_stand_anywhere() -> None:
    options = parse(["a=1", "--config", "r.yaml", "b.c=2", "--device", "cpu", "d=3"])
    assert options.overrides == ["a=1", "b.c=2", "d=3"]


def test_an_optional_run_does_not_swallow_an_override() -> None:
    options = parse(["--export", "exporters.0.format=obj", "--config", "r.yaml", "--resume", "auto"])
    assert (options.export, options.overrides) == ("", ["exporters.0.format=obj"])
    assert parse(["--export", "runs/a-1"]).export == "runs/a-1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "   "], "--prompt: the text is empty"),
        (["--prompt", "a\udc80b"], "--prompt: the text is not valid UTF-8"),
        (["--device", "tpu"], "argument --device: invalid choice: 'tpu'"),
        (["--confg", "x"], "--confg: no such option. Did you mean '--config'?"),
        (["--promt", "a red cup"], "--promt: no such option. Did you mean '--prompt'?"),
        (["--trainer.max_steps=9"], "A setting is given without dashes: trainer.max_steps=9"),
        (["--seed", "3"], "A setting is given without dashes: seed=VALUE"),
        (["--train", "--export", "x"], "not allowed with argument --train"),
        (["--prompt"], "argument --prompt: expected one argument"),
        (["--shard", "1/2"], "--shard: goes with --jobs FILE, which is missing"),
        (["--retry-failed"], "--retry-failed: goes with --jobs FILE, which is missing"),
        (["--engine", "ray"], "--engine: goes with --jobs FILE, which is missing"),
        (["--live-host", "0.0.0.0"], "--live-host: goes with --live, which is missing"),
        (["--jobs", "a.csv", "--live-paused"], "--live-paused: goes with --live, which is missing"),
    ],
)
def test_faults_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(arguments)
    assert message in str(caught.value)


def test_a_fault_is_one_line_on_stderr_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "configs/latent-nrf.yaml", "--prompt", "a cup"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "no such recipe" in err
    assert len(err.splitlines()) == 1


def test_a_broken_plugin_shows_its_own_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text('"""Broken."""\n\n\ndef deep():\n    return 1 / 0\n\n\ndeep()\n')
    assert main(["--list", "--plugin", str(plugin)]) == 2
    err = capsys.readouterr().err
    assert f'File "{plugin}", line 8' in err
    assert f'File "{plugin}", line 5' in err
    assert "importlib" not in err
    assert err.splitlines()[-1] == f"error: {plugin}: the plugin failed to load: division by zero"


def test_a_missing_plugin_is_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--plugin", str(tmp_path / "none.py")]) == 2
    assert "no such plugin" in capsys.readouterr().err


def test_device_cpu_hides_the_gpu_before_torch_looks() -> None:
    probe = (
        "import os, sys, types\nfrom app.cli import _hide_gpu\n"
        "_hide_gpu()\nassert os.environ.pop('CUDA_VISIBLE_DEVICES') == ''\n"
        "sys.modules['torch'] = types.ModuleType('torch')\n"
        "_hide_gpu()\nassert 'CUDA_VISIBLE_DEVICES' not in os.environ"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "guidance_scale=7",
            "guidance_scale: no such setting of a recipe. Did you mean 'system.guidance.guidance_scale'?",
        ),
        ("system.guidance_scale=7", "Did you mean 'system.guidance.guidance_scale'?"),
        ("steps=100", "steps: no such setting of a recipe. Did you mean 'trainer.max_steps' or "),
        ("trainer.steps=100", "Did you mean 'max_steps'?"),
        ("trainer.max_steps 100", "'trainer.max_steps': expected key.sub=value. Say trainer.max_steps=100"),
        ("steps 100", "'steps': expected key.sub=value. Say steps=100"),
        ("seed = 100", "'seed': expected key.sub=value. A prompt of"),
        ("seed= 100", "'100': expected key.sub=value. No space goes before or after the '='."),
        ("a red mushroom", "'a': expected key.sub=value. A prompt of several words goes in quotes."),
    ],
)
def test_a_setting_said_wrongly_is_answered_with_how_to_say_it(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", "configs/latent-nerf.yaml", "--show-recipe", *words.split()]) == 2
    assert said in capsys.readouterr().err


def test_a_recipe_by_its_bare_name_is_answered_with_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "latent-nrf"]) == 2
    assert "no such recipe. Did you mean 'configs/latent-nerf.yaml'?" in capsys.readouterr().err


def test_help_on_a_recipe_lists_what_it_can_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "configs/latent-nerf.yaml", "--help", "trainer.max_steps=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "trainer.max_steps = 7    (an integer)" in lines
    assert "system.guidance: type: multi-view-sds" in lines
    assert any(line.startswith("system.losses.sparsity.weight = {start: ") for line in lines)
    assert any(line.startswith("exporters.1.n_frames = 48") for line in lines)


def test_list_and_describe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "geometry"]) == 0
    assert "hash-grid" in capsys.readouterr().out
    assert main(["--describe", "hash-grid"]) == 0
    assert "n_levels: an integer, default" in capsys.readouterr().out
    assert main(["--describe", "hash-gird"]) == 2
    assert "Did you mean 'hash-grid'?" in capsys.readouterr().err
    assert main(["--list", "geometri"]) == 2
    assert "Did you mean 'geometry'?" in capsys.readouterr().err


def test_what_a_library_makes_of_an_interruption_is_none_of_its_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except BaseException as error:
            raise KeyError("a loop was left") from error

    monkeypatch.setattr("app.plan.make_plan", interrupted)
    assert main(["--config", "a.yaml"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "Stopped at once; what had been saved before is untouched.\n"
