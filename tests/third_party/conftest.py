import os

# Asked for by whoever installed the libraries; then a missing one is a failure.
collect_ignore = [] if os.environ.get("MEMSIZE_THIRD_PARTY") == "1" else ["test_query_counts.py"]
