"""What the two models are paid for; one idea a file. Plain values in and out."""
