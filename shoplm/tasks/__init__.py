"""The questions that a shop asks: one file each, and its file name is its name everywhere."""
