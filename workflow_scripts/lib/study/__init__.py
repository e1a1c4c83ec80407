"""User studies: a page of blinded pairs (page.py), the key to it (key.py), people's votes (votes.py) and win rates."""
