"""The engine of small networks on a CPU, compiled by numba."""
