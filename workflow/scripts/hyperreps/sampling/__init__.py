"""New networks: samplers of points, and a generator that is trained for it."""
