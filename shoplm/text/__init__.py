"""Record -> words -> ids -> batch. NumPy only; torch begins at the door of ``model``."""
