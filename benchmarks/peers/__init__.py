"""What others would train the same networks with, in an environment of its own: see requirements.txt."""
