"""Hyper-representations: autoencoders of weights, their training and judges."""
