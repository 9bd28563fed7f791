"""Geometries: what is trained. Density fields and surfaces, and the meshes that are made of them."""
