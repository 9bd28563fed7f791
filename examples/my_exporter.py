"""An exporter of your own: the object as a cloud of points, for any program that reads PLY.

python launch.py --config examples/my_exporter.yaml --prompt "a red mushroom"
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from core.cameras import camera_rays
from core.errors import UserError, require
from core.files import whole_file
from core.kinds import Exporter, System


class PointCloud(Exporter, name="point-cloud"):
    """points.ply: where rays of many views meet the object, in the colours that they see."""

    writes = ("points.ply",)

    @dataclass(frozen=True)
    class Config:
        """Settings of the point cloud."""

        n_views: int = 12
        """Views from all sides."""

        def __post_init__(self) -> None:
            require(self.n_views >= 1, f"n_views: at least 1, got {self.n_views}")

    config: Config

    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Render the views, decode them, and keep the rays that hit.

        Raises:
            UserError: none does.
        """
        cameras = system.surrounding_cameras(self.config.n_views, system.guidance.latent_size)
        colours = system.decode(system.render(cameras).latents)
        cameras = cameras.resized(*colours.shape[1:3])
        seen = system.render(cameras)
        rays, hit = camera_rays(cameras.to(seen.depth.device)), seen.opacity > 0.5
        if not bool(hit.any()):
            raise UserError("point-cloud: no ray meets the object; train longer")
        points = (rays.origins + rays.directions * seen.depth[..., None])[hit].cpu().numpy()
        cloud = trimesh.PointCloud(points, (colours[hit].clamp(0, 1).cpu().numpy() * 255).astype(np.uint8))
        with whole_file(run_folder / "points.ply") as unfinished:
            cloud.export(unfinished)
        return [run_folder / "points.ply"]
