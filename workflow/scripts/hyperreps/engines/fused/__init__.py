"""The engine of the zoo's CNN on a CPU, compiled by numba."""
