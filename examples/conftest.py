"""What pytest leaves out here: the backend is tested where it is installed, by `tests/test_third_party.py`."""

collect_ignore = ["backend-jsonl"]
