"""The part of a visitor's panel that begins another run like the one on the page: another seed, another prompt."""

from dataclasses import replace

from app.live.panel import Panel
from app.live.settings_form import put
from app.live.strangers import raw_text
from app.plan import Request
from core.errors import UserError
from core.recipe import Recipe
from core.setting_paths import plain
from core.settings import read_settings
from systems.base import LightningSystem
from systems.steering import LONGEST_TEXT, steerable


class Fork:
    """Prompt and seed of a new run with the recipe of the one on the page, as it was steered."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._folder = panel.gui.add_folder("Fork", visible=False, expand_by_default=False)
        with self._folder:
            self._prompt = panel.steering(panel.gui.add_text("New prompt", ""))
            self._seed = panel.seed("New seed", "Dice")
            panel.button("Start a fork", "From the beginning; after what waits already", self.start)

    def fill(self) -> None:
        """Begin with prompt and seed of the run on the page; in the training's thread."""
        shown = self._panel.session.shown
        self._folder.visible = shown is not None
        if shown is not None:
            self._prompt.value, self._seed.value = shown.run.system.shown_prompt, shown.run.system.seed

    def start(self) -> None:
        """Have the fork trained when its turn comes."""
        self._panel.session.controls.ask(self._start)

    def _start(self) -> None:
        session = self._panel.session
        if session.shown is None:
            return
        run = session.shown.run
        try:
            prompt = raw_text("New prompt", self._prompt.value, LONGEST_TEXT)
            recipe = replace(steered_recipe(run.recipe, run.system), seed=int(self._seed.value))
        except (UserError, ValueError) as error:
            self._panel.tell("Not started", str(error))
            return
        own = None if prompt == recipe.shown_prompt else prompt
        request = Request(recipe=recipe, prompt=own, out=session.out, device=session.device)
        if self._panel.enqueue(request):
            self._panel.tell("Waits for its turn", prompt)


def steered_recipe(recipe: Recipe, system: LightningSystem) -> Recipe:
    """The recipe that says from the beginning what a run was changed to while it was trained."""
    tree = plain(recipe)
    for setting, value in steerable(system).items():
        put(tree, setting, value)
    return replace(read_settings(Recipe, tree), environment=recipe.environment)
