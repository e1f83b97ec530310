"""What this machine has, what a run would choose on it, what is missing, and how to get it."""
