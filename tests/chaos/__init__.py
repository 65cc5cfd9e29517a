"""Many nodes under faults: ``python -m tests.chaos``, and tests of its parts."""
