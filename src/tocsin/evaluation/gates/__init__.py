"""What every model must pass before it may go live, one gate a file: see docs/gates.md."""
