"""The small networks: layers as data, first weights, weights of another size."""
