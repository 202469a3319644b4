"""A depth of a model, written for other tools."""
