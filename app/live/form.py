"""The form that a page begins with: prompt, recipe, a mesh of the visitor's own, seed, settings; and Start."""

from pathlib import Path
from typing import Any

import torch

from app.live.panel import Panel
from app.live.settings_form import Field, fields_of, filled_in, mesh_keys, shown_value
from app.live.strangers import raw_text
from app.live.uploads import keep_upload
from app.parts import register_parts
from app.plan import Request
from core.errors import UserError
from core.part import choices_in
from core.recipe import Recipe
from core.stages import read_stages
from guidance.model_source import bundled_models
from systems.base import LightningSystem
from systems.steering import LONGEST_TEXT

CONFIGS = Path(__file__).parents[2] / "configs"


#: A recipe, of each of its stages; mostly one.
Stages = tuple[Recipe, ...]


def known_recipes() -> dict[str, Stages]:
    """The recipes that a form offers: those that begin with a prompt, and whose model is at hand or runs on a GPU."""
    register_parts()
    found = {path.stem: _read(path) for path in sorted(CONFIGS.glob("*.yaml"))}
    return {name: recipe for name, recipe in found.items() if recipe is not None}


class Form:
    """What a run is made of, to be filled in."""

    def __init__(self, panel: Panel, recipes: dict[str, Stages]) -> None:
        self._panel, self._recipes, self._mesh = panel, recipes, None
        self._widgets: dict[str, tuple[Any, Any]] = {}
        """By key, a setting's widget and what it held at first."""
        self._folders: list[Any] = []
        gui, first = panel.gui, "latent-nerf" if "latent-nerf" in recipes else next(iter(recipes))
        with gui.add_folder("New run"):
            self._prompt = panel.steering(gui.add_text("Prompt", recipes[first][0].prompt, multiline=True))
            self._recipe = panel.steering(gui.add_dropdown("Recipe", list(recipes), initial_value=first))
            mesh = panel.steering(gui.add_upload_button("Mesh to paint, or as a sketch", mime_type="*/*"))
            self._said = gui.add_markdown("")
            self._seed = panel.seed("Seed", "Throw the dice")
            self._settings = gui.add_folder("Settings", expand_by_default=False)
            panel.button("Start", "When what waits already is done", self.start)
        self._recipe.on_update(panel.if_in_control(lambda _: self.choose()))
        mesh.on_upload(panel.if_in_control(lambda _: self._take(mesh.value.name, mesh.value.content)))
        self.choose()

    def fill(self) -> None:
        """The form stays as it is, whatever run is shown."""

    def choose(self) -> None:
        """Show the settings of the chosen recipe."""
        for widget, _ in self._widgets.values():
            self._panel.remove(widget)
        for folder in self._folders:
            folder.remove()
        self._widgets, self._folders = {}, []
        groups: dict[str, list[Field]] = {}
        for field in fields_of(self._chosen()):
            groups.setdefault(field.group, []).append(field)
        for group, fields in groups.items():
            with self._settings:
                folder = self._panel.gui.add_folder(group.replace("system.", ""), expand_by_default=False)
            self._folders.append(folder)
            with folder:
                for field in fields:
                    widget = self._panel.steering(self._widget(field))
                    self._widgets[field.key] = (widget, widget.value)
        takes = mesh_keys(self._chosen())
        self._said.content = f"The recipe takes a mesh ({', '.join(takes)})." if takes else ""

    def start(self) -> None:
        """Have the run trained when its turn comes; what is wrong with it is told instead."""
        session = self._panel.session
        try:
            prompt = raw_text("Prompt", self._prompt.value, LONGEST_TEXT)
            values = {key: widget.value for key, (widget, first) in self._widgets.items() if widget.value != first}
            if mesh_keys(self._chosen()) == ["system.geometry.path"] and self._mesh is None:
                raise UserError("this recipe paints a mesh; send one first")
            recipe = filled_in(self._chosen(), values, int(self._seed.value), self._mesh)
        except (UserError, ValueError, OverflowError) as error:
            self._panel.tell("Not started", str(error))
            return
        if self._panel.enqueue(Request(recipe=recipe, prompt=prompt, out=session.out, device=session.device)):
            self._panel.tell("Waits for its turn", prompt)

    def _chosen(self) -> Stages:
        return self._recipes.get(self._recipe.value) or next(iter(self._recipes.values()))

    def _take(self, name: str, content: bytes) -> None:
        try:
            self._mesh = keep_upload(self._panel.session.out, name, content).absolute()
        except (UserError, OSError) as error:
            self._panel.tell("Not taken", str(error))
            return
        takes = mesh_keys(self._chosen())
        use = (
            f"for {', '.join(takes)}" if takes else "this recipe has no use for it: choose latent-paint or sketch-shape"
        )
        self._panel.tell(f"{self._mesh.name} is here", use)

    def _widget(self, field: Field) -> Any:
        gui, value, hint = self._panel.gui, shown_value(field), field.meaning
        if field.words and isinstance(value, str):
            return gui.add_dropdown(field.name, field.words, initial_value=value, hint=hint)
        if isinstance(value, bool):
            return gui.add_checkbox(field.name, value, hint=hint)
        if isinstance(value, str):
            return gui.add_text(field.name, value, hint=hint)
        return gui.add_number(field.name, value, hint=hint)


def _read(path: Path) -> Stages | None:
    """A recipe that a visitor could start; one that paints lacks its mesh, and gets a name in place of it."""
    for lacking in ([], ["system.geometry.path=mesh"]):
        try:
            stages = read_stages(path, lacking)
        except UserError:
            continue  # it lacks something else
        begins = not getattr(stages[0].system.part, "refines", False) and stages[0].start_from is None
        return stages if begins and all(_can_run(stage) for stage in stages) else None
    return None


def _can_run(recipe: Recipe) -> bool:
    if not issubclass(recipe.system.part, LightningSystem) or getattr(recipe.system.config, "guidance", None) is None:
        return False
    models = [getattr(choice.config, "model", None) for choice in choices_in(recipe)]
    bundled = bundled_models()
    return torch.cuda.is_available() or all(model is None or str(model) in bundled for model in models)
