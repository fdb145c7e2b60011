"""What people would write without this project: the other side of each comparison."""
