"""Populations of networks: trained, read from files, and what they do on images."""
