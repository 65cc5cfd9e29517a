"""Several parts together: a real Redis, a real keeper, real daemons, a real engine, pycloudctl as a process."""
