import os

# Set where the libraries are installed, so that a missing library fails instead of being skipped.
NEED_LIBRARIES = ["test_query_counts.py", "test_beside.py", "test_views.py"]
collect_ignore = [] if os.environ.get("MEMSIZE_THIRD_PARTY") == "1" else NEED_LIBRARIES
