"""Commands about sessions, a module each, loaded when the command is typed."""
