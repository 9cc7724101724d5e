"""What `scripts/suites` is made of.

fetch     packages and sources, by apt, into a directory of our own
programs  the suites: how each is built, its tests, how a result is read
execute   one test in one process session: time limit, memory, proof of preload
results   records as JSON lines; comparison with the reference; the tables
"""
