"""A backbone reads a shop's texts before any task: the corpus, the filling in of words, and the folder that comes out."""
