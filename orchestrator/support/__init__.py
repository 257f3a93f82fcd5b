"""What somebody who helps needs to see of a run, without the names of the estate it ran on.

pseudonyms.py   names that stand for others, in fields and in running text: pure
contents.py     the files of a bundle: pure, from what was read
machine.py      this machine and installation
"""
