"""What is wrong with a shop's tables: pure questions to the data, each answered with its numbers and its fix."""
