"""The judge: names what a picture of a toy object shows. It had no part in making the diffusion model."""

from toybox.judge.network import Judge, Verdict, load_judge

__all__ = ["Judge", "Verdict", "load_judge"]
