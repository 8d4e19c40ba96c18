"""Methods or pre-trained models against one another on the same rows: candidates, a search for each, finalists over seeds, a page and a recipe."""
