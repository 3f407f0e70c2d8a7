"""Other libraries' models trained from our stores, and their rows among our runs."""
