"""What several commands of pycloudctl share: the command type, flags, look-up of sessions and nodes, confirmation."""
