"""What a run's files say once true answers are known. Nothing here is read by a training phase."""
