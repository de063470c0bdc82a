"""What people look at: figures and the night's digest."""
