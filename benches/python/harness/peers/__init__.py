"""The contenders, one a file: how each is loaded, and how it embeds.

A file has `PACKAGES`, whose versions are reported, and `load(model, threads, **options)`, which returns what embeds a
list of texts as float32 `(n, dimension)`. Each imports what it needs when it is loaded: the start of a process is
measured too.
"""
