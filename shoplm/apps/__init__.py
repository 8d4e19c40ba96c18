"""What a shop does with answers: applications that put tasks, sources and rules together. One file each."""
