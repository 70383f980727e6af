"""What a developer calls by hand: the heap, sizes, measured blocks, ways of loading rows."""
