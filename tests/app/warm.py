"""Imports all that a training needs: the server that tests fork their children from begins with this."""

from app import commands, parts  # noqa: F401

parts.register_parts()
