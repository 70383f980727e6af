"""What becomes of the workers: the processes that serve, and what each of them made and lost."""
