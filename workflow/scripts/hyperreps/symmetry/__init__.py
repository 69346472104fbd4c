"""What leaves a network's function as it is: permutations, matching, alignment."""
