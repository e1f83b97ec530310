"""What a run costs in memory and time, from plain numbers: sizes of the model, the work, and the device."""
