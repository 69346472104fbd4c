"""Images: official files, their sources, and the prepared sets."""
