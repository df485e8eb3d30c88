"""Pictures of results, by topic.  They need matplotlib (the extra `plot`); every function takes plain
results, writes one file and returns its path.
"""
