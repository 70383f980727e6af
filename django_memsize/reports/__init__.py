"""Recordings as stored: built, judged, written, read."""
