"""The story in a few functions: prepare, train, evaluate; and the Bundle that users hold."""
