"""Was a secret left behind? A run's secrets, read from the vault once more, and looked for wherever they must not be.

    forms.py      the byte strings by which a secret would be found: pure
    finder.py     many byte strings at once, in a stream
    places.py     files, databases and processes as streams
    searcher.py   the process that holds the credentials: a scan process that searches instead of scanning
    __main__.py   its supervisor, which has the vault's login and hands it tokens

What comes out names secrets, places and offsets, and holds no value.
"""
