"""The engine in pure Python, for where the compiled one is missing: the same figures, slower."""
