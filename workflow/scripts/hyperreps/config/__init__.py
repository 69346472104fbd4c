"""The whole configuration: sections together, files, what a run needs and costs."""
