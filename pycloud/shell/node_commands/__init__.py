"""Commands about nodes and about pycloudctl itself, a module each, loaded when the command is typed."""
