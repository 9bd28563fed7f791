"""What may change while a system is trained: its prompt, what its guidance declares, the weights of its loss terms."""

from collections.abc import Callable
from typing import Any

from core.errors import UserError, did_you_mean, require
from core.kinds import Guidance
from core.schedule import Schedule
from core.setting_paths import plain
from core.settings import read_settings
from systems.base import LightningSystem

#: Of a prompt that is changed while a run is trained, in characters: far more than any text encoder reads.
LONGEST_TEXT = 2000


def steerable(system: LightningSystem) -> dict[str, Any]:
    """The settings that may change between two steps, by the names that a recipe has for them, with their values now.

    The values are as a recipe would say them: texts, numbers, or schedules.
    """
    guidance = system.guidance.latent_guidance
    settings: dict[str, Any] = {"prompt": system.prompt}
    for name in guidance.steerable:
        settings[guidance.setting(name)] = plain(getattr(guidance.config, name))
    for setting, name in _loss_settings(system).items():
        settings[setting] = system.losses.weights[name].to_setting()
    return settings


def steer(system: LightningSystem, setting: str, value: Any) -> None:
    """Change one of them, from the next step on.

    Raises:
        UserError: no such setting, or a value that a recipe could not have either; then, and with any other error,
            nothing has changed.
    """
    guidance, terms = system.guidance.latent_guidance, _loss_settings(system)
    changes: dict[str, Callable[[Any], None]] = {"prompt": lambda text: _take_prompt(system, text)}
    changes |= {guidance.setting(name): _of_guidance(system, guidance, name) for name in guidance.steerable}
    changes |= {key: _of_loss(system, key, name) for key, name in terms.items()}
    if setting not in changes:
        raise UserError(f"{setting}: cannot be changed while a run is trained. {did_you_mean(setting, changes)}")
    if isinstance(value, str):
        require(len(value) <= LONGEST_TEXT, f"{setting}: at most {LONGEST_TEXT} characters, got {len(value)}")
    changes[setting](value)


def _loss_settings(system: LightningSystem) -> dict[str, str]:
    """The weights that its recipe names; none of a system that has losses of its own making (textual-inversion)."""
    terms = getattr(system, "losses", None)
    return {} if terms is None else dict(terms.settings)


def _take_prompt(system: LightningSystem, text: Any) -> None:
    require(isinstance(text, str) and text.strip() != "", f"prompt: expected a text that says something, got {text!r}")
    system.guidance.prepare(text)
    system.prompt = text


def _of_guidance(system: LightningSystem, guidance: Guidance, name: str) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        config = guidance.config
        path = guidance.setting(name).removesuffix(name).rstrip(".")
        guidance.config = read_settings(type(config), {**plain(config), name: value}, path)
        try:
            if isinstance(value, str):  # texts are embedded with the prompt
                system.guidance.prepare(system.prompt)
        except BaseException:
            guidance.config = config
            raise

    return change


def _of_loss(system: LightningSystem, setting: str, name: str) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        try:
            weight = Schedule.from_setting(value)
        except UserError as error:
            raise UserError(f"{setting}: {error}") from error
        require(min(weight.values) >= 0, f"{setting}: a weight is at least 0, got {min(weight.values):g}")
        system.losses.weights[name] = weight

    return change
