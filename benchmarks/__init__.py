"""What we measure, against whom, and how to repeat it."""
