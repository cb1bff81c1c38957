"""The web server: the board, its data, alerts, private pages, health."""
