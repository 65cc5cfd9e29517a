"""Several parts together: a real Redis, a real keeper, real daemons."""
