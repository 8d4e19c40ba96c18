"""Floor 1: the tables of a shop, how foreign rows become contract rows, and what was known when."""
