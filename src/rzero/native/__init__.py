"""What the C sources beside the Python modules are compiled with: the user's own compiler, once for each machine."""
