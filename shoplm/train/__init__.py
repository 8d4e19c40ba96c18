"""Learning: one plan, one loop, one journal. Knows batches and losses, never tasks."""
