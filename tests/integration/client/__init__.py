"""The library on a real Redis, with a fake node."""
