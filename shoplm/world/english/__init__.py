"""The English of the simulated shop: its catalogue, its reviews, its chats."""
