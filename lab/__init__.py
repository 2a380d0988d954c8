"""What was tried, and the scripts that prove that a refactoring changed nothing."""
