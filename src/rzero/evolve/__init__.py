"""The co-evolution: six phases, one file each, and the loop over them."""
