"""The part of a visitor's panel that says what is seen: which picture, the training's cameras, the exported mesh."""

import time
from typing import Any

import numpy as np

from app.live.panel import Panel
from app.live.view import KINDS, mesh_pose
from core.types import Cameras

#: Training cameras that are shown.
N_FRUSTA = 24
MESH = "mesh.glb"


class Look:
    """What one visitor sees."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._frusta: list[Any] = []
        self._mesh: Any = None
        self._shown_mesh: object = None
        with panel.gui.add_folder("Look"):
            self._kind = panel.gui.add_dropdown("Show", KINDS, initial_value="colour", hint="What is drawn")
            self._with_frusta = panel.gui.add_checkbox("Training cameras", False, hint="Where training looks from")

    def fill(self) -> None:
        """There is another run; in the training's thread."""
        self._show_frusta()
        self.show_mesh()

    def tick(self) -> None:
        """Do what the visitor has chosen since; however often that was, in the training's thread it costs once."""
        if self._with_frusta.value != bool(self._frusta):
            self._show_frusta()
        if self._kind.value in KINDS and self._kind.value != self._panel.visitor.kind:
            self._panel.visitor.kind, self._panel.visitor.moved = self._kind.value, time.monotonic()
            self.show_mesh()
            if self._panel.visitor.kind == "mesh" and self._mesh is None:
                self._panel.tell("No mesh yet", f"There is no {MESH} in this run; export it first.")

    def _show_frusta(self) -> None:
        """Stand the cameras of views from all sides in the scene."""
        for frustum in self._frusta:
            frustum.remove()
        self._frusta = []
        shown = self._panel.session.shown
        if self._with_frusta.value and shown is not None:
            cameras = shown.run.system.surrounding_cameras(N_FRUSTA, 16)
            add = self._panel.visitor.client.scene.add_camera_frustum
            self._frusta = [add(f"/cameras/{i}", **_frustum(cameras, i)) for i in range(N_FRUSTA)]

    def show_mesh(self) -> None:
        """Stand the run's mesh.glb in the scene where that is wanted, as it is now; in the training's thread."""
        visitor, shown = self._panel.visitor, self._panel.session.shown
        path = shown.run.folder / MESH if shown else None
        there = path is not None and path.is_file() and not path.is_symlink()
        wanted = (path, path.stat().st_mtime_ns) if visitor.kind == "mesh" and path and there else None
        if wanted == self._shown_mesh:
            return
        self._shown_mesh = wanted
        if self._mesh is not None:
            self._mesh.remove()
            self._mesh = None
        if wanted is not None and path and shown:
            visitor.client.scene.set_background_image(None)
            pose = mesh_pose(shown.run.system)
            self._mesh = visitor.client.scene.add_glb("/mesh", path.read_bytes(), **pose)


def _frustum(cameras: Cameras, i: int) -> dict[str, Any]:
    """What viser is told of a camera: OpenCV's axes (right, down, forward), angles in radians."""
    from viser.transforms import SO3

    c2w = cameras.c2w[i].cpu().double().numpy()
    rotation = SO3.from_matrix(c2w[:3, :3] * np.array([1.0, -1.0, -1.0]))
    return {
        "fov": float(np.radians(float(cameras.fovy_deg[i]))),
        "aspect": cameras.width / cameras.height,
        "scale": 0.08,
        "color": (90, 90, 200),
        "wxyz": rotation.wxyz,
        "position": c2w[:3, 3],
    }
