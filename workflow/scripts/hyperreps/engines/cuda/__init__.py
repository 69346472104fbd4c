"""The engine of the zoo's CNN on a GPU, one thread block per network."""
