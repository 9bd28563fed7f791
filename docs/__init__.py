"""The manual: pages, and what they are made of (generated.py)."""
