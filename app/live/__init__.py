"""The live page: a run watched and steered from a browser (viser) while it trains, and after it."""
