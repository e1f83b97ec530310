"""The engines that are compared, each served from a process and an environment of its own."""
