"""The bundled toy world: its objects, its small latent diffusion model, and the judge of what they become."""
