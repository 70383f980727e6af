"""Measuring spans of a program: knows nothing of reports, and nothing of screens."""
