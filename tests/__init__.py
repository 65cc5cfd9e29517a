"""All tests: unit, integration, end to end, chaos; what they share is in ``support``."""
