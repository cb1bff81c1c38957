"""What is kept of a series between windows: its row, its history, its alerts."""
