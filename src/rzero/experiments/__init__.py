"""What is built out of whole runs and models: benchmark tables, grids of ablations, supervised fine-tuning."""
