"""The part of a visitor's panel that changes prompt, guidance and weights before the next step."""

import json
from typing import Any

from app.describe import field_docs
from app.live.panel import Panel
from app.live.strangers import plain_value, raw_text
from core.errors import UserError
from systems.steering import LONGEST_TEXT, steerable


class Steer:
    """One field for each setting that may change, and a button that has all changes made."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._folder = panel.gui.add_folder("Steer", visible=False)
        self._fields: dict[str, Any] = {}
        self._made: dict[str, Any] = {}
        """By setting, what its field held when it was filled or asked for."""
        with self._folder:
            self._apply = panel.button("Apply", "Before the next step; the run's edits.jsonl keeps it", self.apply)

    def fill(self) -> None:
        """Show the settings of the run that is on the page now; in the training's thread."""
        for field in self._fields.values():
            self._panel.remove(field)
        self._fields = {}
        shown = self._panel.session.shown
        self._folder.visible = shown is not None and shown.is_training
        if shown is None or not shown.is_training:
            return
        system = shown.run.system
        docs = field_docs(type(system.guidance.latent_guidance.config))
        with self._folder:
            for setting, value in {**steerable(system), "prompt": system.shown_prompt}.items():
                self._add(setting, value, docs.get(setting.rpartition(".")[2]))
        self._made = {setting: field.value for setting, field in self._fields.items()}

    def apply(self) -> None:
        """Ask for everything that was changed here."""
        for setting, field in list(self._fields.items()):
            if field.value == self._made[setting]:
                continue
            try:
                value = _read(setting, field.value)
            except UserError as error:
                self._panel.tell("Not changed", str(error))
                continue
            self._made[setting] = field.value
            self._panel.session.steering.ask(setting, value, self._told)
            if self._panel.session.controls.is_paused:
                self._panel.tell("Noted", f"{_label(setting)} changes with the next step; the training is paused.")

    def _told(self, fault: str | None) -> None:
        if fault is not None:
            self._panel.tell("Not changed", fault)

    def _add(self, setting: str, value: Any, hint: str | None) -> None:
        gui, label, order = self._panel.gui, _label(setting), len(self._fields) - 100  # above the button
        if isinstance(value, str):
            field = gui.add_text(label, value, hint=hint, multiline=setting == "prompt", order=order)
        elif isinstance(value, int | float):
            field = gui.add_number(label, float(value), hint=hint, order=order)
        else:
            field = gui.add_text(label, json.dumps(value), hint=hint, order=order)
        self._fields[setting] = self._panel.steering(field)


def _label(setting: str) -> str:
    """Its name without the way to it: guidance_scale, losses.sparsity."""
    words = setting.removesuffix(".weight").split(".")
    return ".".join(words[-2:]) if "losses" in words else words[-1]


def _read(setting: str, given: Any) -> Any:
    """What a field holds, as a recipe would say it: texts raw, schedules as YAML."""
    if isinstance(given, int | float):
        return float(given)
    text = raw_text(setting, given, LONGEST_TEXT)
    if setting == "prompt" or setting.endswith("prompt"):
        return text
    return plain_value(setting, text)
