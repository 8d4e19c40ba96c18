"""How the live store's tables came to be, one Alembic revision after the other; a revision that was released never changes."""
