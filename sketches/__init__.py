"""Sketch meshes of the project's own making, and the script that builds them: `python -m sketches.build`."""
