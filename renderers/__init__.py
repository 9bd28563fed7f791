"""Renderers: pictures of a geometry in front of a background."""
